"""Files of tensors are opened without running code in them, and no larger than they are."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch
from common.tensors import read_tensors

STATE = {"weights": {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(3)}, "epoch": 2}


@pytest.fixture
def path(tmp_path) -> Path:
    torch.save(STATE, tmp_path / "best.pt")
    return tmp_path / "best.pt"


def rewrite(path: Path, added: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    """Write the archive again with more members."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()} | added
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def end_as_torch_does(path: Path) -> None:
    """Put zip64's end records into an archive of zipfile, which writes them for large ones only."""
    content = path.read_bytes()
    count = int.from_bytes(content[-12:-10], "little")
    length, first = (int.from_bytes(content[at : at + 4], "little") for at in (-10, -6))
    numbers = [44, 45 << 16 | 45, 0, 0, count, count, length, first]
    sizes = [8, 4, 4, 4, 8, 8, 8, 8]
    record = b"PK\6\6" + b"".join(
        number.to_bytes(size, "little") for number, size in zip(numbers, sizes, strict=True)
    )
    locator = b"PK\6\7" + bytes(4) + (first + length).to_bytes(8, "little") + b"\1\0\0\0"
    path.write_bytes(content[:-22] + record + locator + content[-22:])


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("archive", [True, False], ids=["archive", "before torch 1.6"])
def test_what_torch_wrote_is_read(tmp_path, archive, mapped):
    path = tmp_path / "pytorch_model.bin"
    torch.save(STATE, path, _use_new_zipfile_serialization=archive)
    found = read_tensors(path, mapped)
    assert found["epoch"] == 2 and list(found["weights"]) == ["a", "b"]
    assert all(torch.equal(found["weights"][key], STATE["weights"][key]) for key in "ab")


def test_an_archive_with_anything_but_tensors_is_refused(path):
    """constants.pkl is how torch below 2.6 knows a TorchScript archive, which it then runs."""
    for name in ("best/constants.pkl", "best/code/trap.py", "data.pkl"):
        torch.save(STATE, path)
        rewrite(path, {name: b"x"})
        end_as_torch_does(path)
        with pytest.raises(ValueError, match="no part of tensors"):
            read_tensors(path)
    torch.save(STATE, path)
    rewrite(path, {})
    end_as_torch_does(path)
    assert read_tensors(path)["epoch"] == 2  # so it was the name that was refused


def test_a_member_larger_than_the_file_is_refused(path):
    rewrite(path, {"best/data/9": bytes(10**8)}, zipfile.ZIP_DEFLATED)
    end_as_torch_does(path)
    with pytest.raises(ValueError, match="claim more bytes"):
        read_tensors(path)


def test_an_archive_with_two_tables_of_members_is_refused(path, tmp_path):
    """One reader would take the first, the other the last."""
    torch.save({"weights": {}}, tmp_path / "other.pt")
    path.write_bytes((tmp_path / "other.pt").read_bytes() + path.read_bytes())
    with pytest.raises(ValueError, match="no archive as torch.save"):
        read_tensors(path)


def test_an_archive_whose_end_hides_in_a_comment_is_refused(path):
    """The end that readers find is not the one that was checked."""
    content = path.read_bytes()
    hidden = bytearray(content[-22:])
    hidden[-2:] = (98).to_bytes(2, "little")
    fake = bytearray(content[-98:])
    end, length = len(content), int.from_bytes(fake[40:48], "little")
    fake[48:56], fake[64:72] = (at.to_bytes(8, "little") for at in (end - length, end))
    fake[-22:-18] = b"xxxx"
    path.write_bytes(content[:-22] + hidden + fake)
    with pytest.raises(ValueError, match="no archive as torch.save"):
        read_tensors(path)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "best.pt"
    tar = io.BytesIO()
    tarfile.open(fileobj=tar, mode="w").close()
    for content in (b"", b"x", b"PK\3\4", b"PK\3\4" + bytes(200), tar.getvalue()):
        path.write_bytes(content)
        with pytest.raises(ValueError):
            read_tensors(path)
    for archive in (True, False):
        torch.save({"a": Path("x")}, path, _use_new_zipfile_serialization=archive)
        with pytest.raises(Exception, match="(?s)Weights.?only|weights_only"):
            read_tensors(path)
