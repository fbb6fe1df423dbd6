"""Small checkpoints in the hub's cache layout, and where the code lies."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

STAGE2 = Path(__file__).resolve().parents[2] / "stage2_compare"
SAMPLE = STAGE2.parents[1] / "shared" / "data" / "mvsa_sample"  # real pairs, where they are
BERT = "bert-base-chinese"
CLIP = "openai/clip-vit-base-patch32"
BLIP = "Salesforce/blip-image-captioning-base"


class Hub:
    """Small checkpoints in the hub's cache layout."""

    def __init__(self, root: Path):
        from demo.checkpoints import write_hub

        self.root, characters = root, "天气很好今日不开心高兴难过"
        self.variables = write_hub(root, "tiny", seed=0, characters=characters)

    def folder(self, name: str) -> str:
        """A checkpoint as a local folder: transformers reads HF_HOME once, when it is imported."""
        from demo.checkpoints import snapshot_folder

        return str(snapshot_folder(self.root / "hf" / "hub", name))


class LocalHub:
    """A hub on this machine that serves the files below ``folder / <name>`` as the real one does.

    ``silent`` accepts connections and never answers. ``asked`` holds the requests, ``revision`` is
    what "main" stands for."""

    def __init__(self, folder: Path | None = None, silent: bool = False):
        self.folder, self.silent = folder, silent
        self.asked: list[str] = []
        self.revision = "0" * 40
        self.released = threading.Event()

    def __enter__(self):
        hub = self

        class Handler(BaseHTTPRequestHandler):
            do_HEAD = do_GET = lambda request: hub.answer(request)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append(f"{request.command} {request.path}")
        if self.silent:
            self.released.wait()
            return
        content, fault = self.content(request.path)
        request.send_response(404 if fault else 200)
        request.send_header("X-Repo-Commit", self.revision)
        request.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        request.send_header("Content-Length", str(len(content)))
        if fault:
            request.send_header("X-Error-Code", fault)
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(content)

    def content(self, path: str) -> tuple[bytes, str | None]:
        """What a path holds, or which fault the hub names."""
        listed = path.startswith("/api/models/")
        path = path.removeprefix("/api/models/").strip("/")
        name, _, rest = path.partition("/revision/" if listed else "/resolve/")
        revision, _, file = rest.partition("/")
        if not (self.folder / name).is_dir() or not name:
            return b"", "RepoNotFound"
        if revision not in ("main", "", self.revision):
            return b"", "RevisionNotFound"
        if listed:
            files = [{"rfilename": path.name} for path in (self.folder / name).iterdir()]
            about = {"id": name, "sha": self.revision, "siblings": files}
            return json.dumps(about).encode(), None
        if not (self.folder / name / file).is_file():
            return b"", "EntryNotFound"
        return (self.folder / name / file).read_bytes(), None
