"""Reads an INI file with typed values and collects every mistake, so that a user sees all of them at once.

Used by `config.py`. A getter that meets a mistake notes it and returns its default; `Sections.finish` raises what was noted.
"""

from __future__ import annotations

import configparser
import difflib
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from Services.fractos.errors import ConfigurationError


@dataclass(frozen=True)
class Key:
    """A key that was asked for."""

    default: str  # empty: it must be given
    admitted: str  # its values in words


class Sections:
    """The sections of one file, and the mistakes found in them so far."""

    def __init__(self, path: Path, parser: configparser.ConfigParser) -> None:
        self.path = path
        self.mistakes: list[str] = []
        self.mistaken: set[tuple[str, str]] = set()  # (section, key)
        self.known: set[tuple[str, str]] = set()
        self.asked: dict[tuple[str, str], Key] = {}  # of these the documentation's reference is made
        self._parser = parser

    @classmethod
    def read(cls, path: Path) -> Sections:
        """Parse the file. Raises ConfigurationError if it is not there, not text or not of the INI form."""
        try:
            return cls.parse(path.read_text(encoding="utf-8-sig"), path)
        except OSError as error:
            raise ConfigurationError(
                f"cannot read {path}: {error.strerror}; a datacenter is a folder with such a file: name it with --path"
            ) from error
        except UnicodeDecodeError as error:
            raise ConfigurationError(f"{path} is not a configuration file: {error}") from error

    @classmethod
    def parse(cls, text: str, path: Path) -> Sections:
        """Parse what the file `path` holds, or is to hold. Raises ConfigurationError if it is not of the INI form."""
        # No default section and no interpolation: neither is wanted, and a "%" in a path is a "%".
        parser = configparser.ConfigParser(default_section="", interpolation=None, inline_comment_prefixes=("#",))
        try:
            parser.read_string(text, source=str(path))
        except configparser.Error as error:
            raise ConfigurationError(f"{path} is not a configuration file: {error}") from error
        return cls(path, parser)

    def section(self, name: str, keys: set[str], *, required: bool = True) -> Section:
        """Return a section, noting keys other than `keys`; one that is missing is empty, and a mistake if `required`."""
        self.known |= {(name, key) for key in keys}
        if not self._parser.has_section(name):
            if required:
                self.mistakes.append(f"[{name}] is missing{_near(name, self._parser.sections())}; add the section")
            return Section(self, name, {}, missing=True)
        values = dict(self._parser.items(name))
        for key in sorted(values.keys() - keys):
            self.note(name, key, values[key], f"unknown key{_near(key, keys)}; [{name}] may have {', '.join(sorted(keys))}")
        return Section(self, name, values)

    def named(self, pattern: str) -> list[str]:
        """The names of the sections that match a pattern."""
        return [name for name in self._parser.sections() if re.fullmatch(pattern, name)]

    def keys(self, name: str) -> list[str]:
        """The keys of a section; none if it is missing."""
        return list(self._parser.options(name)) if self._parser.has_section(name) else []

    def note(self, section: str, key: str, value: str, remedy: str) -> None:
        """Note a mistake in one value."""
        self.mistaken.add((section, key))
        self.mistakes.append(f"[{section}] {key} = {value}: {remedy}")

    def finish(self, known: set[str], tolerated: str) -> None:
        """Note sections that are neither `known` nor match the pattern `tolerated`, and raise all mistakes as one error."""
        for name in self._parser.sections():
            if name not in known and not re.fullmatch(tolerated, name):
                self.mistakes.append(f"[{name}] is not a known section{_near(name, known)}; correct or remove it")
        if self.mistakes:
            count = "a mistake" if len(self.mistakes) == 1 else f"{len(self.mistakes)} mistakes"
            raise ConfigurationError(f"{self.path} has {count}:\n" + "\n".join(f"  {mistake}" for mistake in self.mistakes))


class Section:
    """One section: typed getters, each of which returns its default where the key is missing or wrong."""

    def __init__(self, sections: Sections, name: str, values: dict[str, str], *, missing: bool = False) -> None:
        self._sections = sections
        self._name = name
        self._values = values
        self._missing = missing  # said once for the section, so not again for each key

    def has(self, key: str) -> bool:
        """Whether the file gives a value."""
        return key in self._values

    def mistake(self, key: str, value: str, remedy: str) -> None:
        """Note a mistake in a value of this section."""
        self._sections.note(self._name, key, value, remedy)

    def text(self, key: str, default: str, pattern: str, meaning: str) -> str:
        """A value that matches `pattern`, which `meaning` puts in words."""
        value = self._ask(key, default, meaning)
        if re.fullmatch(pattern, value):
            return value
        self.mistake(key, value, f"must be {meaning}")
        return default

    def boolean(self, key: str, *, default: bool) -> bool:
        """True or False; also yes, no, on, off, 1, 0."""
        kind = "True or False"
        value = self._ask(key, str(default), kind)
        known = configparser.ConfigParser.BOOLEAN_STATES
        if value.lower() in known:
            return known[value.lower()]
        self.mistake(key, value, f"must be {kind}")
        return default

    def number(self, key: str, default: int, lowest: int, highest: int, *, odd: bool = False) -> int:
        """An integer between two bounds, both included."""
        kind = f"{'an odd' if odd else 'a whole'} number from {lowest} to {highest}"
        value = self._ask(key, str(default), kind)
        if re.fullmatch(r"\d{1,9}", value) and lowest <= int(value) <= highest and (not odd or int(value) % 2 == 1):
            return int(value)
        self.mistake(key, value, f"must be {kind}")
        return default

    def decimal(self, key: str, default: float, lowest: float, highest: float) -> float:
        """A number between two bounds, both included, with or without a fraction."""
        kind = f"a number from {lowest:g} to {highest:g}, such as {2.5 if highest >= 2.5 else 0.01}"
        value = self._ask(key, f"{default:g}", kind)
        if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value, re.ASCII) and lowest <= float(value) <= highest:
            return float(value)
        self.mistake(key, value, f"must be {kind}")
        return default

    def ipv4(self, key: str, default: str) -> str:
        """An address that others can connect to."""
        kind = "an IPv4 address of this host under which the nodes reach one another"
        value = self._ask(key, default, kind)
        try:
            if not ipaddress.IPv4Address(value).is_unspecified:
                return value
        except ValueError:
            pass
        self.mistake(key, value, f"must be {kind}, such as {default}")
        return default

    def folder(self, key: str, root: Path, default: str) -> Path:
        """One folder, relative to `root`, that exists or can be made."""
        kind = "one folder"
        value = self._ask(key, default, kind)
        path = (root / value).resolve()
        if not value or "," in value:
            self.mistake(key, value, f"must be {kind}, such as {default}")
        elif path.exists() and not path.is_dir():
            self.mistake(key, value, f"{path} is not a folder; name another or move that file")
        return path

    def file(self, key: str, root: Path) -> Path | None:
        """A file that exists, relative to `root`; None where the key is missing or empty."""
        value = self._ask(key, "", "a file")
        if not value:
            return None
        path = root / value
        if not path.is_file():
            self.mistake(key, value, f"there is no file {path}; make it or correct the path")
        return path

    def names(self, key: str, pattern: str, *, repeats: bool = False) -> tuple[str, ...]:
        """One or more values with commas between them, each of which matches `pattern`, and once unless `repeats`."""
        kind = "one or more names with commas between them"
        value = self._ask(key, "", kind)
        names = [part.strip() for part in value.split(",")]
        names = names[:-1] if len(names) > 1 and not names[-1] else names  # a trailing comma is harmless
        wrong = [f"{name!r} does not look like one" for name in names if not re.fullmatch(pattern, name)]
        if not repeats:
            wrong += [f"{name} is there twice" for name in dict.fromkeys(names) if names.count(name) > 1]
        if not wrong:
            return tuple(names)
        if not self._missing:
            what = wrong[0] if value else "it is missing or empty"
            self.mistake(key, value, f"must be {kind}; {what}")
        return ()

    def _ask(self, key: str, default: str, admitted: str) -> str:
        """What the file says for a key, or else its default. Every getter reads its value here."""
        self._sections.asked[self._name, key] = Key(default, admitted)
        return self._values.get(key, default)


def _near(name: str, known: Iterable[str]) -> str:
    """`; did you mean …?` for a near miss, else nothing."""
    folded = {one.lower(): one for one in known}
    matches = difflib.get_close_matches(name.lower(), folded, n=1)
    return f", did you mean {folded[matches[0]]}?" if matches else ""
