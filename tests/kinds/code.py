"""
Code as people have it: what is shipped, what is read where the DAG runs, and what templates may say.

An input is a :class:`~tests.given_code.Given`, or a :class:`~tests.given_code.Templated`.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from tests.given_code import (
    BY_PLATFORM,
    CODE,
    FROM_BY_PLATFORM,
    FROM_SOURCES,
    HASHED,
    LOCK,
    LOCKED,
    PROJECT,
    SIGNED,
    SOURCES,
    Archive,
    Given,
    Link,
    Templated,
    below,
    in_bytes,
    names,
    reads,
    refuses,
    runs,
    ships,
)
from tests.kinds import Kind

KINDS = [
    Kind(
        "a folder as `working_dir`, by text or `pathlib.Path`; relative to the DAG file's folder, or to its bundle",
        "its files, empty folders too, with their executable bits; the package's name is that of the content",
        {
            "folder": ships(CODE, {"main.py", "lib/a.py"}),
            "folder as Path": ships(CODE, {"main.py", "lib/a.py"}, Path("code")),
            "folder with a dot": ships(CODE, {"main.py", "lib/a.py"}, "./code/"),
            "folder of the bundle, from below": ships(CODE, {"a.py"}, "code/lib/../lib"),
            "folder of the runtime_env": Given(names(working_dir=Path("code")), CODE, [{"main.py", "lib/a.py"}]),
            "empty folders": ships({**CODE, "code/out/logs": None}, {"main.py", "lib/a.py", "out/logs/"}),
            "names with spaces and umlauts": ships(below("cö de", "mäin file.py"), {"mäin file.py"}, "cö de"),
            "absent folder": refuses({}, "'working_dir'", "does not exist", "bundle", working_dir="nowhere"),
            "folder of no files": refuses({"code/out": None}, "'working_dir'", "no files", working_dir="code"),
            "name that is no UTF-8": refuses(
                below("code", "caf\udce9.py"), "UTF-8", "'working_dir'", working_dir="code"
            ),
            "name with a backslash": refuses(below("code", "a\\b.py"), "does not unpack", working_dir="code"),
        },
    ),
    Kind(
        "`.git`, `.venv`, `venv`, `__pycache__`",
        "stay at home, as with Ray; `!venv` and `!venv/**` in `excludes` bring one along, as does Ray's own variable",
        {
            "what Ray leaves out": ships(
                {**CODE, **below("code", "venv/x", ".venv/x", ".git/HEAD", "lib/__pycache__/a.pyc")},
                {"main.py", "lib/a.py"},
            ),
            "a venv that is asked for": ships(
                {**CODE, **below("code", "venv/x")}, {"main.py", "lib/a.py", "venv/x"}, excludes=["!venv", "!venv/**"]
            ),
        },
    ),
    Kind(
        "`.gitignore`, `.rayignore`, `excludes`",
        "mean what they mean to Ray 2.60, which is not all that git means: `!folder` brings nothing inside of it back",
        {
            "gitignore": ships({**CODE, "code/.gitignore": "lib"}, {"main.py", ".gitignore"}),
            "rayignore": ships({**CODE, "code/.rayignore": "*.py\n!main.py"}, {"main.py", ".rayignore"}),
            "nested": ships({**CODE, "code/lib/.gitignore": "/a.py"}, {"main.py", "lib/.gitignore"}),
            "one file cannot take back another's": ships(
                {**CODE, "code/.gitignore": "lib", "code/.rayignore": "!lib"}, {"main.py", ".gitignore", ".rayignore"}
            ),
            "excludes": ships(CODE, {"main.py"}, excludes=["/lib/*"]),
            "excludes of the runtime_env": Given(names(working_dir="code", excludes=["lib"]), CODE, [{"main.py"}]),
            "excludes with a slash": ships(CODE, {"main.py"}, excludes=["lib/"]),
            "later lines win": ships(CODE, {"main.py", "lib/a.py"}, excludes=["*.py", "!a.py", "!main.py"]),
            "all but": refuses(CODE, "no files", working_dir="code", excludes=["*", "!lib/a.py"]),
            "excludes as text": refuses(CODE, "'excludes'", "list", working_dir="code", excludes="lib"),
            "no pattern": refuses(CODE, "'[z-a]'", "pattern", working_dir="code", excludes=["[z-a]"]),
        },
    ),
    Kind(
        "symbolic links, as git-sync, a ConfigMap or a monorepo makes them",
        "their content travels, by the names that the links have; those that lead nowhere are left out. A link out of "
        "both the folder and the DAG's bundle, or back to a folder above it, is an error that names it",
        {
            "linked folder": ships({**CODE, "code/more": Link("lib")}, {"main.py", "lib/a.py", "more/a.py"}),
            "linked file": ships({**CODE, "code/b.py": Link("lib/a.py")}, {"main.py", "lib/a.py", "b.py"}),
            "reached by a link": ships({**CODE, "current": Link("code")}, {"main.py", "lib/a.py"}, "current"),
            "elsewhere in the bundle": ships(
                {**CODE, "shared/u.py": "", "code/shared": Link("../shared")}, {"main.py", "lib/a.py", "shared/u.py"}
            ),
            "leads nowhere": ships({**CODE, "code/gone": Link("/nowhere")}, {"main.py", "lib/a.py"}),
            "out of the bundle": refuses(
                {**CODE, "code/etc": Link("/etc")}, "'working_dir'", "leads out", "code/etc", working_dir="code"
            ),
            "a loop": refuses({**CODE, "code/lib/up": Link("..")}, "leads back", "lib/up", working_dir="code"),
            "a loop by itself": ships({**CODE, "code/me": Link("me")}, {"main.py", "lib/a.py"}),
        },
    ),
    Kind(
        "an archive (`.zip`, `.tar.gz`, `.tgz`, `.tar.xz`) or a wheel as `working_dir`; a single `.py` file",
        "unpacked there, as it is; the file at the top. Any other file is an error",
        {
            "zip": ships({"code.zip": Archive({"main.py": "x", "lib/a.py": "x"})}, {"main.py", "lib/a.py"}, "code.zip"),
            "tar.gz": ships({"code.tar.gz": Archive({"main.py": "x"})}, {"main.py"}, Path("code.tar.gz")),
            "tgz": ships({"code.tgz": Archive({"code/main.py": "x"})}, {"code/", "code/main.py"}, "code.tgz"),
            "tar.xz": ships({"code.tar.xz": Archive({"main.py": "x"})}, {"main.py"}, "code.tar.xz"),
            "wheel": ships({"m-1-py3-none-any.whl": Archive({"m.py": "x"})}, {"m.py"}, "m-1-py3-none-any.whl"),
            "single file": ships(CODE, {"main.py"}, "code/main.py"),
            "other file": refuses({"code.csv": "1"}, "'working_dir'", ".py", working_dir="code.csv"),
            "broken zip": refuses({"code.zip": "x"}, "'working_dir'", "cannot be read", working_dir="code.zip"),
            "broken tar": refuses({"code.tgz": "x"}, "'working_dir'", "cannot be read", working_dir="code.tgz"),
            "archive that leads out": refuses(
                {"code.zip": Archive({"../a.py": "x"})}, "'working_dir'", "not unpack", working_dir="code.zip"
            ),
        },
    ),
    Kind(
        "a URI as `working_dir`: `http(s)` with or without a signature, `s3`, `gs`, `azure`, `abfss`, `file`, `local`",
        "Ray loads it; what Ray could not load, or would show a password, is an error",
        {
            "https": Given({"working_dir": "https://h/c.zip"}, sent={"working_dir": "https://h/c.zip"}),
            "http": Given({"working_dir": "http://h/c.tar.gz"}, sent={"working_dir": "http://h/c.tar.gz"}),
            "signed": Given({"working_dir": SIGNED}, sent={"working_dir": SIGNED}),
            "s3": Given({"working_dir": "s3://b/c.zip"}, sent={"working_dir": "s3://b/c.zip"}),
            "gs": Given({"working_dir": "gs://b/c.tar.xz"}, sent={"working_dir": "gs://b/c.tar.xz"}),
            "local": Given({"working_dir": "local:///app"}, sent={"working_dir": "local:///app"}),
            "wheel from elsewhere": refuses({}, "'working_dir'", ".zip", working_dir="s3://b/m-1-py3-none-any.whl"),
            "signed, and no archive": refuses({}, "'working_dir'", ".zip", working_dir="https://h/c?name=x.zip"),
            "relative local": refuses({}, "'working_dir'", "local:///app", working_dir="local://app"),
            "password": refuses({}, "'working_dir'", "password", working_dir="https://me:pw@h/c.zip"),
        },
    ),
    Kind(
        "`py_modules`: folders, `.py` files, archives, wheels, URIs",
        "each as its import wants it: a folder by the name that it is given, a wheel installed by Ray, anew when it "
        "was built again under the same version",
        {
            "module folder": Given(names(py_modules=["code/lib"]), CODE, [{"lib/a.py"}]),
            "module folder by Path": Given(names(py_modules=[Path("code") / "lib"]), CODE, [{"lib/a.py"}]),
            "module folder by a link": Given(names(py_modules=["l"]), {**CODE, "l": Link("code/lib")}, [{"l/a.py"}]),
            "module file": Given(names(py_modules=["code/main.py"]), CODE, [{"main.py"}]),
            "modules but excludes": Given(names(py_modules=["code"], excludes=["lib"]), CODE, [{"code/main.py"}]),
            "module wheel": Given(
                names(py_modules=["m-1-py3-none-any.whl"]), {"m-1-py3-none-any.whl": Archive({"m.py": "x"})}, [{"m.py"}]
            ),
            "module archive": Given(names(py_modules=["m.zip"]), {"m.zip": Archive({"m/a.py": "x"})}, [{"m/a.py"}]),
            "remote wheel": Given(
                names(py_modules=["s3://b/m-1-py3-none-any.whl"]), sent={"py_modules": ["s3://b/m-1-py3-none-any.whl"]}
            ),
            "absent module": refuses({}, "'py_modules'", "does not exist", **names(py_modules=["nowhere"])),
            "wheel of no name": refuses(
                {"m.whl": Archive({"m.py": "x"})}, "'py_modules'", **names(py_modules=["m.whl"])
            ),
        },
    ),
    Kind(
        "`pip` or `uv` as the path of a `requirements.txt`, with `-r`, comments, hashes, options, markers",
        "read on the worker, and sent as a list. A constraints file, or what is on the worker alone, is an error that "
        "says what to do instead",
        {
            "requirements": reads({"r.txt": "a==1\n\n# no\nb>=2 # why\n"}, "pip", "r.txt", ["a==1", "b>=2"]),
            "requirements for uv": reads({"r.txt": "a==1"}, "uv", Path("r.txt"), ["a==1"]),
            "requirements in a dict": reads(
                {"r.txt": "a"}, "pip", {"packages": "r.txt", "pip_check": True}, {"packages": ["a"], "pip_check": True}
            ),
            "requirements of Windows": reads(
                {"r.txt": "\ufeffa\r\nb \\\r\n  >=1\r\n"}, "pip", "r.txt", ["a", "b   >=1"]
            ),
            "comments that end in a backslash": reads(
                {"r.txt": "# C:\\\na\n  # more \\\nb \\\n# no more\nc \\"}, "pip", "r.txt", ["a", "b", "c"]
            ),
            "UTF-16": reads({"r.txt": in_bytes("a\r\nb # ä\n", "utf-16")}, "pip", "r.txt", ["a", "b"]),
            "an encoding that is named": reads(
                {"r.txt": in_bytes("# -*- coding: latin-1 -*-\na # ä\n", "latin-1")}, "pip", "r.txt", ["a"]
            ),
            "an encoding that nobody knows": refuses(
                {"r.txt": "# coding: nothing-8\na"}, "cannot be read", "nothing-8", **names(pip="r.txt")
            ),
            "includes": reads(
                {"r/a.txt": "-r ../b.txt\na", "b.txt": "--requirement=c.txt\nb", "c.txt": "-rd.txt", "d.txt": "d"},
                "pip",
                "r/a.txt",
                ["d", "b", "a"],
            ),
            "includes in quotes": reads(
                {
                    "r.txt": "-r \"sub dir/a.txt\"\n--requirement='sub dir/b.txt'\n-r sub\\ dir/c.txt # why",
                    "sub dir/a.txt": "a\n-r d.txt",
                    "sub dir/b.txt": "b",
                    "sub dir/c.txt": "c",
                    "sub dir/d.txt": "d",
                },
                "pip",
                "r.txt",
                ["a", "d", "b", "c"],
            ),
            "a list that includes in quotes": reads({"a b.txt": "a"}, "uv", ["-r 'a b.txt'"], ["a"]),
            "an include by URL": refuses(
                {"r.txt": "-r file:///here/my%20r.txt"}, "cannot be read", "/here/my r.txt", **names(pip="r.txt")
            ),
            "constraints by URL": refuses(
                {"r.txt": "-c file:///here/c.txt"}, "constraints file:///here/c.txt", "Pin", **names(pip="r.txt")
            ),
            "hashes": reads({"r.txt": HASHED}, "pip", "r.txt", [HASHED.replace("\\\n", "").strip()]),
            "options and addresses": reads(
                {
                    "r.txt": "--extra-index-url https://i/#x\n-e git+https://g/r#egg=a\nb @ https://h/b.whl\nc;python_version<'4'"
                },
                "pip",
                "r.txt",
                [
                    "--extra-index-url https://i/#x",
                    "-e git+https://g/r#egg=a",
                    "b @ https://h/b.whl",
                    "c;python_version<'4'",
                ],
            ),
            "what the cluster includes": reads(
                {},
                "pip",
                ["-r ${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}/r.txt", "-c https://h/c.txt", "-r /image/r.txt"],
                ["-r ${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}/r.txt", "-c https://h/c.txt", "-r /image/r.txt"],
            ),
            "a list that includes": reads({"r.txt": "a\nb"}, "pip", ["x", "-r r.txt"], ["x", "a", "b"]),
            "nothing to install": Given(names(pip="r.txt"), {"r.txt": "# nothing\n"}, sent={"pip": None}),
            "absent requirements": refuses({}, "'runtime_env.pip'", "r.txt", "list", **names(pip="r.txt")),
            "a package as text": refuses({}, "'runtime_env.uv'", "list", **names(uv="numpy")),
            "include of itself": refuses({"r.txt": "-r r.txt"}, "includes itself", **names(pip="r.txt")),
            "constraints": refuses({"r.txt": "-c c.txt"}, "constraints c.txt", "Pin", **names(pip="r.txt")),
            "a folder of the worker": refuses(
                {"r.txt": "-e ./lib"}, "'-e ./lib'", "'py_modules'", **names(pip="r.txt")
            ),
            **{
                f"local: {line}": refuses({"r.txt": f"a\n{line}"}, repr(line), "'py_modules'", **names(pip="r.txt"))
                for line in (
                    "a @ file:///here/a.whl",
                    "a[x] @ file:///here/a.whl",
                    "-e file:///here/a",
                    "-e git+file:///here/a",
                    "file:///here/a.whl",
                    "lib @ ./lib",
                    "--find-links ./wheels",
                    "--find-links=wheels",
                    "-f wheels/",
                    "-f /here/wheels",
                    "--index-url ./simple",
                    "-e /here/a",
                    "-e a",
                    "-ea",
                    "--editable a",
                    "--editable=a[x]",
                    "a.whl",
                    "a.whl ; python_version > '3'",
                    "a.whl;python_version > '3'",
                    "a.whl[x]",
                    "a-1.0.tgz",
                    "a-1.0.tar.bz2",
                    "a-1.0.tar.xz",
                    "a-1.0.zip --hash=sha256:ab",
                )
            },
            "what the image has": reads(
                {},
                "pip",
                ["a @ file:///image/a.whl", "-f /image/wheels", "--find-links https://h/w", "b @ git+https://h/b@v1"],
                ["a @ file:///image/a.whl", "-f /image/wheels", "--find-links https://h/w", "b @ git+https://h/b@v1"],
            ),
            **{
                f"not local: {line}": reads({}, "pip", [line], [line])
                for line in (
                    "-e /image/a",
                    "-r file:///image/r.txt",
                    "-e git+ssh://git@h/o/r.git",
                    "-e git+git@h:o/r.git",
                    "-e https://h/a.tgz",
                    "-e ${HOME}/a",
                    "https://h/a.whl ; python_version > '3'",
                    "a.tar-tools==1",
                    "zope.interface>=5",
                    "tar",
                    "--no-binary a.zip-tools",
                )
            },
            "a wheel of the worker": refuses({}, "'w/m.whl'", "'py_modules'", **names(uv=["w/m.whl"])),
            "two installers": refuses({}, "pip and uv", **names(pip=["a"], uv=["b"])),
        },
    ),
    Kind(
        "`pip` or `uv` as a `pyproject.toml`, an `uv.lock`, or the folder of a project",
        "what the project depends on; in the versions of the `uv.lock` beside it, or else from where "
        "`[tool.uv.sources]` says; without groups for development, Ray itself, and the project's own code. Other locks "
        "are an error that names the way",
        {
            "pyproject": reads(
                {"pyproject.toml": PROJECT}, "uv", "pyproject.toml", ["httpx[http2]>=0.27", "mine-core"]
            ),
            "pyproject with a lock": reads(
                {"p/pyproject.toml": PROJECT, "p/uv.lock": LOCK}, "uv", "p/pyproject.toml", LOCKED
            ),
            "lock": reads({"uv.lock": LOCK}, "pip", "uv.lock", LOCKED),
            "project folder": reads({"p/pyproject.toml": PROJECT, "p/uv.lock": LOCK}, "uv", Path("p"), LOCKED),
            "folder of requirements": reads({"p/requirements.txt": "a"}, "pip", "p", ["a"]),
            "folder of requirements and tools": reads(
                {"p/requirements.txt": "a", "p/pyproject.toml": "[tool.ruff]\nline-length = 99"}, "pip", "p", ["a"]
            ),
            "folder of requirements and a project that reads them": reads(
                {"p/requirements.txt": "a", "p/pyproject.toml": '[project]\nname = "p"\ndynamic = ["dependencies"]'},
                "pip",
                "p",
                ["a"],
            ),
            "sources of uv": reads({"pyproject.toml": SOURCES}, "uv", "pyproject.toml", FROM_SOURCES),
            "source of uv that is a folder": refuses(
                {"pyproject.toml": PROJECT + '[tool.uv.sources]\nMine_Core = {path = "../core"}'},
                "takes mine-core from this host alone",
                "'py_modules'",
                **names(uv="pyproject.toml"),
            ),
            "source of uv that is a member": refuses(
                {"pyproject.toml": PROJECT + "[tool.uv.sources]\nmine-core = {workspace = true}"},
                "takes mine-core from this host alone",
                **names(uv="pyproject.toml"),
            ),
            "sources of uv by platform": refuses(
                {
                    "pyproject.toml": PROJECT
                    + "[tool.uv.sources]\nmine-core = [{url = 'https://h/m', marker = 'x'}, {}]"
                },
                "takes mine-core from several places",
                "uv lock",
                **names(uv="pyproject.toml"),
            ),
            "indexes of uv by platform": reads(
                {"pyproject.toml": BY_PLATFORM}, "uv", "pyproject.toml", FROM_BY_PLATFORM
            ),
            "index of uv that nobody knows, by platform": refuses(
                {
                    "pyproject.toml": PROJECT
                    + "[tool.uv.sources]\nmine-core = [{index = 'inner', marker = \"os_name == 'nt'\"}]"
                },
                "mine-core from the unknown index 'inner'",
                **names(uv="pyproject.toml"),
            ),
            "source of uv by platform": refuses(
                {
                    "pyproject.toml": PROJECT
                    + "[tool.uv.sources]\nmine-core = {git = 'https://g/m', marker = \"os_name == 'nt'\"}"
                },
                "takes mine-core from several places",
                **names(uv="pyproject.toml"),
            ),
            "an index of uv and another place": refuses(
                {
                    "pyproject.toml": PROJECT
                    + "[tool.uv.sources]\nmine-core = [{index = 'inner', marker = 'x'}, {url = 'https://h/m'}]"
                },
                "takes mine-core from several places",
                **names(uv="pyproject.toml"),
            ),
            **{
                f"index of uv on this host: {index}": refuses(
                    {"pyproject.toml": f"{PROJECT}\n[[tool.uv.index]]\n{index}"},
                    line,
                    "on this host alone",
                    "'py_modules'",
                    **names(uv="pyproject.toml"),
                )
                for index, line in {
                    'url = "wheels"\nformat = "flat"': "'--find-links wheels'",
                    'url = "/here/wheels"\nformat = "flat"': "'--find-links /here/wheels'",
                    'url = "file:///here/wheels"\nformat = "flat"': "'--find-links file:///here/wheels'",
                    'url = "../simple"': "'--extra-index-url ../simple'",
                    'url = "./simple"\ndefault = true': "'--index-url ./simple'",
                }.items()
            },
            **{
                f"source of uv on this host: {source}": refuses(
                    {"pyproject.toml": f"{PROJECT}\n[tool.uv.sources]\nmine-core = {{{source}}}"},
                    "'mine-core @ ",
                    "on this host alone",
                    **names(uv="pyproject.toml"),
                )
                for source in ('url = "file:///here/m.whl"', 'git = "file:///here/m"', 'git = "../m"')
            },
            "a local place that a source of uv replaces": reads(
                {
                    "pyproject.toml": PROJECT.replace("mine-core", "m @ file:///here/m.whl")
                    + '\n[tool.uv.sources]\nm = {git = "https://g/m"}'
                },
                "uv",
                "pyproject.toml",
                ["httpx[http2]>=0.27", "m @ git+https://g/m"],
            ),
            "index of uv that nobody knows": refuses(
                {"pyproject.toml": PROJECT + "[tool.uv.sources]\nmine-core = {index = 'inner'}"},
                "mine-core from the unknown index 'inner'",
                **names(uv="pyproject.toml"),
            ),
            "project of a local wheel": refuses(
                {"pyproject.toml": PROJECT.replace("mine-core", "m @ file:///here/m.whl")},
                "on this host alone",
                **names(uv="pyproject.toml"),
            ),
            "folder of nothing": refuses({"p": None}, "lists no packages", "uv.lock", **names(uv="p")),
            "lock that is older": refuses(
                {"pyproject.toml": PROJECT.replace("httpx", "polars"), "uv.lock": LOCK},
                "lacks polars",
                "uv lock",
                **names(uv="pyproject.toml"),
            ),
            "lock of tomorrow": refuses({"uv.lock": "version = 2"}, "not known", **names(uv="uv.lock")),
            "poetry": refuses({"poetry.lock": ""}, "poetry.lock", "poetry export", **names(pip="poetry.lock")),
            "project of poetry": refuses(
                {"pyproject.toml": "[tool.poetry]"}, "[project]", "requirements.txt", **names(uv="pyproject.toml")
            ),
            "no TOML": refuses({"pyproject.toml": "]"}, "no TOML", **names(uv="pyproject.toml")),
        },
    ),
    Kind(
        "`conda` as the path of an `environment.yml`",
        "read on the worker, with what its `pip` part includes; a name stays that of an environment on the cluster",
        {
            "environment.yml": reads(
                {"e/environment.yml": "dependencies:\n- python=3.11\n- pip:\n  - -r r.txt\n", "e/r.txt": "a"},
                "conda",
                "e/environment.yml",
                {"dependencies": ["python=3.11", {"pip": ["a"]}]},
            ),
            "environment.yaml by Path": reads(
                {"environment.yaml": "dependencies: [a]"}, "conda", Path("environment.yaml"), {"dependencies": ["a"]}
            ),
            "name of an environment": reads({}, "conda", "pytorch_p310", "pytorch_p310"),
            "environment of a local wheel": refuses(
                {"e.yml": "dependencies:\n- pip:\n  - a @ file:///here/a.whl\n"}, "a.whl", **names(conda="e.yml")
            ),
            "no environment": refuses({"e.yml": "just text"}, "'runtime_env.conda'", **names(conda="e.yml")),
            "no YAML": refuses({"e.yml": "a: [b"}, "'runtime_env.conda'", "YAML", **names(conda="e.yml")),
        },
    ),
    Kind(
        "`entrypoint` as a list of words: text, numbers, paths",
        "quoted word by word: no shell reads what a template put there. An empty word is an error",
        {
            "words": runs(["python", "train.py", "--name", "a b; rm *"], "python train.py --name 'a b; rm *'"),
            "numbers as words": runs(("python", "t.py", "--n", 3, 0.5), "python t.py --n 3 0.5"),
            "paths as words": runs(["python", PurePosixPath("my code/t.py")], "python 'my code/t.py'"),
            "one path": runs(Path("run all.sh"), "'run all.sh'"),
            "no words": refuses({}, "'entrypoint' is empty", entrypoint=[]),
            "empty word": refuses({}, "Word 2 of 'entrypoint' is empty", entrypoint=["python", " "]),
            "truth value as a word": refuses({}, "Word 2 of 'entrypoint'", "bool", entrypoint=["python", True]),
            "list in a list": refuses({}, "Word 2 of 'entrypoint'", "list", entrypoint=["python", ["a"]]),
        },
    ),
    Kind(
        'a number, True or False from a template, such as `num_samples="{{ params.n }}"`',
        "read as what the field is, in all operators, sensors, clusters and smoke tests; what is the author's own "
        "(`train_loop_config`, `param_space`, `env_config`, `user_config`, `args` of your own classes) stays as it is "
        "written",
        {
            "samples": Templated("RayTuneOperator", "num_samples", "{{ params.n }}", 4),
            "search": Templated(
                "RayTuneOperator",
                "scheduler",
                {"name": "asha", "args": {"max_t": "{{ params.n }}"}},
                {"name": "asha", "args": {"max_t": 4}},
            ),
            "scaling": Templated(
                "RayTrainOperator",
                "scaling_config",
                {"num_workers": "{{ params.n }}", "use_gpu": "{{ params.yes }}", "label_selector": {"rack": "7"}},
                {"num_workers": 4, "use_gpu": True, "label_selector": {"rack": "7"}},
            ),
            "one's own search": Templated(
                "RayTuneOperator",
                "searcher",
                {"name": "search:Mine", "args": {"study": "001{{ params.n }}"}},
                {"name": "search:Mine", "args": {"study": "0014"}},
            ),
            "a search of Ray's by its path": Templated(
                "RayTuneOperator",
                "scheduler",
                {"name": "ray.tune.schedulers:ASHAScheduler", "args": {"max_t": "{{ params.n }}"}},
                {"name": "ray.tune.schedulers:ASHAScheduler", "args": {"max_t": 4}},
            ),
            "one's own stopper": Templated(
                "RayTuneOperator",
                "stop",
                {"name": "stops:mine", "args": {"version": "1.10", "day": "0{{ params.n }}"}},
                {"name": "stops:mine", "args": {"version": "1.10", "day": "04"}},
            ),
            "places of workers": Templated(
                "RayTrainOperator",
                "scaling_config",
                {"num_workers": "{{ params.n }}", "bundle_label_selector": [{"rack": "{{ params.n }}"}]},
                {"num_workers": 4, "bundle_label_selector": [{"rack": "4"}]},
            ),
            "the score of checkpoints": Templated(
                "RayTrainOperator",
                "checkpoint_config",
                {"num_to_keep": "{{ params.n }}", "checkpoint_score_attribute": "90"},
                {"num_to_keep": 4, "checkpoint_score_attribute": "90"},
            ),
            "seconds": Templated("RayTrainOperator", "resources_timeout_seconds", "{{ params.n }}.5", 4.5),
            "loop config": Templated("RayTrainOperator", "train_loop_config", {"lr": "{{ params.n }}"}, {"lr": "4"}),
            "RLlib": Templated("RayRLlibOperator", "config", {"lr": "1e-{{ params.n }}"}, {"lr": 1e-4}),
            "an environment of RLlib": Templated(
                "RayRLlibOperator",
                "config",
                {"env_config": {"scenario": "0012"}, "model": {"fcnet_hiddens": ["6{{ params.n }}"]}},
                {"env_config": {"scenario": "0012"}, "model": {"fcnet_hiddens": [64]}},
            ),
            "a model of RLlib": Templated(
                "RayRLlibOperator",
                "config",
                {"model": {"custom_model_config": {"vocabulary": "007"}, "max_seq_len": "{{ params.n }}"}},
                {"model": {"custom_model_config": {"vocabulary": "007"}, "max_seq_len": 4}},
            ),
            "batch": Templated("RayBatchInferenceOperator", "concurrency", ["1", "{{ params.n }}"], [1, 4]),
            "jobs at once": Templated("RaySubmitJobOperator", "max_concurrent_jobs", "{{ params.n }}", 4),
            "log limit": Templated("RaySubmitJobOperator", "log_limit_bytes", "{{ params.n }}", 4),
            "GPUs": Templated("RaySubmitJobOperator", "entrypoint_num_gpus", "0.{{ params.n }}", 0.4),
            "waiting": Templated("RaySubmitJobOperator", "wait", "{{ not params.yes }}", False),
            "records": Templated("RaySubmitJobOperator", "records", "{{ params.yes | tojson }}", True),
            "replicas": Templated("RayServeScaleOperator", "replicas", {"Model": "{{ params.n }}"}, {"Model": 4}),
            "deployments": Templated(
                "RayServeDeployOperator",
                "deployments",
                {"M": {"num_replicas": "{{ params.n }}", "user_config": {"k": "4"}}},
                {"M": {"num_replicas": 4, "user_config": {"k": "4"}}},
            ),
            "places of replicas": Templated(
                "RayServeDeployOperator",
                "deployments",
                {"M": {"placement_group_bundle_label_selector": [{"rack": "7"}], "version": "1.10"}},
                {"M": {"placement_group_bundle_label_selector": [{"rack": "7"}], "version": "1.10"}},
            ),
            "variables of replicas": Templated(
                "RayServeDeployOperator",
                "deployments",
                {"M": {"ray_actor_options": {"num_cpus": "{{ params.n }}", "env_vars": {"THREADS": "4"}}}},
                {"M": {"ray_actor_options": {"num_cpus": 4, "env_vars": {"THREADS": "4"}}}},
            ),
            "one's own scaling": Templated(
                "RayServeDeployOperator",
                "deployments",
                {
                    "M": {
                        "autoscaling_config": {
                            "max_replicas": "{{ params.n }}",
                            "policy": {"policy_kwargs": {"k": "01"}},
                        }
                    }
                },
                {"M": {"autoscaling_config": {"max_replicas": 4, "policy": {"policy_kwargs": {"k": "01"}}}}},
            ),
            "one's own router": Templated(
                "RayServeDeployOperator",
                "deployments",
                {"M": {"request_router_config": {"request_router_kwargs": {"version": "1.10"}}}},
                {"M": {"request_router_config": {"request_router_kwargs": {"version": "1.10"}}}},
            ),
            "port": Templated("RayServeDeployOperator", "http_options", {"port": "800{{ params.n }}"}, {"port": 8004}),
            "missing": Templated("RayServeDeleteOperator", "missing_ok", "{{ params.yes }}", True),
            "overwriting": Templated("TectonMaterializeOperator", "overwrite", "{{ params.yes }}", True),
            "improvement": Templated("MlflowPromoteOperator", "min_improvement", "0.{{ params.n }}", 0.4),
            "nodes": Templated("RayClusterSensor", "min_nodes", "{{ params.n }}", 4),
            "limit": Templated("RayListJobsOperator", "limit", "{{ params.n }}", 4),
        },
    ),
    Kind(
        "a DAG with `render_template_as_native_obj`",
        "the same; and a day or an id that looks like a number is text again where text is meant",
        {
            "native number": Templated("RayTuneOperator", "num_samples", "{{ params.n }}", 4, is_native=True),
            "native truth": Templated("RaySubmitJobOperator", "wait", "{{ params.yes }}", True, is_native=True),
            "native variable": Templated(
                "RaySubmitJobOperator",
                "runtime_env",
                {"env_vars": {"DAY": "{{ params.day }}"}},
                {"env_vars": {"DAY": "20261129"}},
                is_native=True,
            ),
            "native metadata": Templated(
                "RaySubmitJobOperator", "metadata", {"day": "{{ params.day }}"}, {"day": "20261129"}, is_native=True
            ),
            "native id": Templated(
                "RayStopJobOperator", "submission_id", "{{ params.day }}", "20261129", is_native=True
            ),
            "native words": Templated(
                "RaySubmitJobOperator", "entrypoint", ["a", "{{ params.day }}"], ["a", 20261129], is_native=True
            ),
        },
    ),
]
