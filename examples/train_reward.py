"""Train one of the three rewards: what is beautiful, what fits its prompt, which pixels are generated.

The settings are a preset's, and the command line's where it says otherwise (`--help` after the preset lists them). A
run that was killed goes on where it was. For several processes, `accelerate launch` instead of `python`:

    python examples/train_reward.py examples/configs/picturebook/reward_aesthetic.yaml --data .runs/aesthetic
"""

from byteedit.training.reward import RewardSettings
from byteedit.training.run import train_reward
from byteedit.training.settings import from_command_line

if __name__ == "__main__":
    train_reward(from_command_line(RewardSettings, __doc__))
