"""The feedback app on a port of its own, and a client that knows no more than a browser does."""

import json
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import uvicorn

from byteedit.feedback.serving import listen


@contextmanager
def serving(app):
    """The app's address, while it runs in a thread."""
    listening = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def get(url, body=None, content_type="application/json"):
    """Status, headers and bytes of an answer; `body`, where there is one, is posted as JSON."""
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": content_type} if data is not None else {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


class Client:
    """What the page says to the server, for one rater."""

    def __init__(self, address, name):
        self.address = address
        self.study = json.loads(get(f"{address}/api/study")[2])
        status, _, body = get(f"{address}/api/join", {"name": name})
        assert status == 200, body
        self.joined = json.loads(body)
        self.rater, self.questions = self.joined["rater"], self.joined["questions"]

    def answer(self, id, question, value, **changes):
        """Status and content of what the server says to an answer."""
        fields = {"study": self.study["study"], "rater": self.rater, "id": id, "question": question}
        status, _, body = get(f"{self.address}/api/answers", fields | {"value": value, "seconds": 1.5} | changes)
        return status, json.loads(body)
