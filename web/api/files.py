"""Files of the repository, read and saved one at a time."""

from __future__ import annotations

import re
from collections.abc import Mapping

from reconciler.actions.files import LargeFileError, NoFileError, StoredFile, blob_id, path_fault
from reconciler.actions.requests import SaveFile
from reconciler.git.errors import UnknownRevisionError
from reconciler.reconciler import Reconciler
from schemas.pattern import JSON
from web.api.acting import Acting, done_json
from web.api.query import Parser, revision, words, wrong
from web.api.refusals import problems_json, reading
from web.api.resource import Call
from web.api.values import message
from web.problems import Kind, Refusal, not_found


def blob(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{40}", text):
        raise ValueError("it takes the blob id that reading the file gave")
    return text


READ_QUERY: Mapping[str, Parser] = {"ref": revision}
SAVE_BODY = ("content", "branch", "message", "base")
REMOVE_QUERY: Mapping[str, Parser] = {"branch": revision, "message": words, "base": blob}


class Files:
    def __init__(self, reconciler: Reconciler, acting: Acting) -> None:
        self._reconciler = reconciler
        self._acting = acting

    def read(self, call: Call) -> JSON:
        found = self._found(call)
        try:
            content = found.content.decode()
        except UnicodeDecodeError:
            raise Refusal(Kind.NOT_TEXT, f"{found.path} is not UTF-8 text: fetch it with Git.") from None
        return {
            "path": found.path,
            "ref": found.ref,
            "commit": found.commit,
            "blob": found.blob,
            "size": found.size,
            "content": content,
        }

    def save(self, call: Call) -> JSON:
        given = call.body
        wanted = _wanted(call.path["path"], given)
        return self._answer(call, wanted, message(given))

    def remove(self, call: Call) -> JSON:
        query = call.query
        if query["base"] is None:
            raise wrong(
                "query parameters", [{"path": "base", "message": "the blob id that was read is needed"}]
            )
        wanted = SaveFile(path=_path(call), content=None, base=query["base"], branch=query["branch"])
        return self._answer(call, wanted, message(query))

    def _found(self, call: Call) -> StoredFile:
        """Raises Refusal."""
        organisation = call.identity.organisation
        with reading(organisation):
            try:
                return self._reconciler.file(organisation, call.path["path"], call.query["ref"])
            except LargeFileError as error:
                raise Refusal(Kind.TOO_LARGE, str(error)) from None
            except (NoFileError, UnknownRevisionError) as error:
                raise not_found(str(error)) from None

    def _answer(self, call: Call, wanted: SaveFile, said: str) -> JSON:
        done = self._acting.do(call, wanted, wanted.path, said)
        return {
            **done_json(done),
            "blob": None if wanted.content is None else blob_id(wanted.content),
            "lines": list(done.lines),
            "problems": problems_json(done.problems),
        }


def _path(call: Call) -> str:
    path = call.path["path"]
    fault = path_fault(path)
    if fault is not None:
        raise wrong("values", [{"path": path, "message": fault}])
    return path


def _wanted(path: str, body: Mapping[str, JSON]) -> SaveFile:
    problems = {key: _fault(key, body) for key in ("content", "branch", "base")}
    fault = path_fault(path)
    found = [{"path": path, "message": fault}] if fault else []
    found += [{"path": key, "message": said} for key, said in problems.items() if said]
    if found:
        raise wrong("values", found)
    return SaveFile(path=path, content=body["content"].encode(), base=body["base"], branch=body.get("branch"))


def _fault(key: str, body: Mapping[str, JSON]) -> str | None:
    value = body.get(key)
    if key == "content":
        return None if isinstance(value, str) else "it takes the file's text"
    if key == "base" and "base" not in body:
        return "it takes the blob id that reading the file gave, or null for a new file"
    if value is None:
        return None
    try:
        (blob if key == "base" else revision)(value if isinstance(value, str) else "")
    except ValueError as error:
        return str(error)
    return None
