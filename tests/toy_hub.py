"""A hub of our own for huggingface_hub's real client: data sets in memory, behind the addresses that it asks for."""

import base64
import hashlib
import json

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

COMMIT = "0" * 40


class ToyHub:
    """Files by repository and name; `commits` are the names of each commit.

    It refuses to write where it is `broken`, and to read files where it is `mute`.
    """

    def __init__(self):
        self.files: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.commits: list[list[str]] = []
        self.broken = self.mute = False
        repository = "/api/datasets/{owner}/{name}"
        self.app = Starlette(
            routes=[
                Route("/api/repos/create", self.create, methods=["POST"]),
                Route(repository, self.tell),
                Route(repository + "/revision/{revision}", self.tell),
                Route(repository + "/tree/{revision}", self.tree),
                Route(repository + "/tree/{revision}/{path:path}", self.tree),
                Route(repository + "/preupload/{revision}", self.preupload, methods=["POST"]),
                Route(repository + "/commit/{revision}", self.commit, methods=["POST"]),
                Route("/datasets/{owner}/{name}/resolve/{revision}/{path:path}", self.resolve),
            ]
        )

    @staticmethod
    def named(request: Request) -> str:
        return "{owner}/{name}".format(**request.path_params)

    async def create(self, request: Request) -> Response:
        fields = await request.json()
        if self.broken:
            return JSONResponse({"error": "down"}, 403)
        name = f"{fields.get('organization') or 'someone'}/{fields['name']}"
        self.files.setdefault(name, {})
        self.private.setdefault(name, fields.get("visibility") == "private")
        return JSONResponse({"url": f"{request.base_url}datasets/{name}"})

    async def tell(self, request: Request) -> Response:
        files = self.files[self.named(request)]
        return JSONResponse(
            {"id": self.named(request), "sha": COMMIT, "siblings": [{"rfilename": name} for name in files]}
        )

    async def tree(self, request: Request) -> Response:
        files = self.files[self.named(request)]
        return JSONResponse(
            [
                {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for name, content in files.items()
            ]
        )

    async def preupload(self, request: Request) -> Response:
        fields = await request.json()
        files = [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in fields["files"]]
        return JSONResponse({"files": files})

    async def commit(self, request: Request) -> Response:
        if self.broken:
            return JSONResponse({"error": "down"}, 403)
        rows = [json.loads(line) for line in (await request.body()).splitlines()]
        added = {row["value"]["path"]: row["value"]["content"] for row in rows if row["key"] == "file"}
        self.files[self.named(request)] |= {name: base64.b64decode(content) for name, content in added.items()}
        self.commits.append(sorted(added))
        url = f"{request.base_url}datasets/{self.named(request)}/commit/{COMMIT}"
        return JSONResponse({"commitUrl": url, "commitOid": COMMIT})

    async def resolve(self, request: Request) -> Response:
        if self.mute:
            return JSONResponse({"error": "down"}, 403)
        content = self.files[self.named(request)][request.path_params["path"]]
        headers = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
        return Response(content, headers=headers, media_type="application/octet-stream")
