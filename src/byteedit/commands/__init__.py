"""What the shell and the editor both do: edit, erase and outpaint as commands, with options, checks and records.

`command` is what all of `byteedit`'s commands are, `pictures` the options of these three, `opening` the pipeline that
they call, `work` what they do around the call, `records` how what they made is told and made again.
"""
