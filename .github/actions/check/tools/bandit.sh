#!/usr/bin/env bash
# Python code with known weaknesses, the project's tests included. A file that cannot be parsed fails the gate: bandit
# exits 0 on it, but says so in the report. A false finding is waived where it is, by `# nosec` with its rule; a .bandit
# file, which could switch all of it off, is not read.
# action: sast
# languages: python
# default: yes
# version: 1.9.4
# version-command: bandit --version
# ok-exit-codes: 0 1
# pip: attrs==26.1.0 --hash=sha256:c647aa4a12dfbad9333ca4e71fe62ddc36f4e63b2d260a37a8b83d2f043ac309
# pip: bandit==1.9.4 --hash=sha256:f89ffa663767f5a0585ea075f01020207e966a9c0f2b9ef56a57c7963a3f6f8e
# pip: jschema-to-python==1.2.3 --hash=sha256:8a703ca7604d42d74b2815eecf99a33359a8dccbb80806cce386d5e2dd992b05
# pip: jsonpickle==4.1.4 --hash=sha256:c46024ba4acd8adb9a8b8485d074e141cbfacafe334c2aa982e5b32efabc2f0e
# pip: markdown-it-py==4.3.0 --hash=sha256:7aa1511a46c39138de78d9eba92ce47e63124d8003fc98b3a351909e04239efa
# pip: mdurl==0.1.2 --hash=sha256:84008a41e51615a49fc9966191ff91509e3c40b939176e643fd50a5c2196b8f8
# pip: pbr==7.1.3 --hash=sha256:6583e878a1d97cb135fdc509811f31b9235905cde8d4dacd3dbadf9efc45d745
# pip: pygments==2.21.0 --hash=sha256:2363c69b61c4a97c838da3b130dcd6468f4848992b21a82f2a63ec34377137d9
# pip: pyyaml==6.0.3 --hash=sha256:b30236e45cf30d2b8e7b3e85881719e98507abed1011bf463a8fa23e9c3e98a8 --hash=sha256:9c7708761fccb9397fe64bbc0395abcae8c4bf7b0eac081e12b809bf47700d0b --hash=sha256:10892704fc220243f5305762e276552a0395f7beb4dbf9b14ec8fd43b57f126c --hash=sha256:b8bb0864c5a28024fac8a632c443c87c5aa6f215c0b126c449ae1a150412f31d --hash=sha256:9149cad251584d5fb4981be1ecde53a1ca46c891a79788c0df828d2f166bda28 --hash=sha256:ba1cc08a7ccde2d2ec775841541641e4548226580ab850948cbfda66a1befcdc --hash=sha256:ee2922902c45ae8ccada2c5b501ab86c36525b883eff4255313a253a3160861c --hash=sha256:0f29edc409a6392443abf94b9cf89ce99889a1dd5376d94316ae5145dfedd5d6 --hash=sha256:501a031947e3a9025ed4405a168e6ef5ae3126c59f90ce0cd6f2bfc477be31b7 --hash=sha256:c458b6d084f9b935061bc36216e8a69a7e293a2f1e68bf956dcd9e6cbcd143f5
# pip: rich==15.0.0 --hash=sha256:33bd4ef74232fb73fe9279a257718407f169c09b78a87ad3d296f548e27de0bb
# pip: sarif-om==1.0.4 --hash=sha256:539ef47a662329b1c8502388ad92457425e95dc0aaaf995fe46f4984c4771911
# pip: setuptools==84.2.1 --hash=sha256:ca140b45d5325a9478f880e351484f62fef15f336462e449ca0c03c873d589c2
# pip: stevedore==5.8.0 --hash=sha256:88eede9e66ca80e34085b9174e2327da2c61ac91f24f70e41c3ad76e4bb4872b
set -euo pipefail

if [[ -z $(find . -name '*.py' -not -path './.github/actions/dpra/*' -print -quit) ]]; then
  echo "There is no Python file to look at." >&2
  exit 65
fi

code=0
bandit --quiet --recursive . --ini <(echo '[bandit]') \
  --exclude '*/.venv/*,*/node_modules/*,./.github/actions/dpra/*' --format sarif --output "$SARIF" || code=$?
# This one message quotes what it found.
[[ ! -f $SARIF ]] || sed -E -i "s/(\"text\": \"Possible hardcoded password: ).*/\1it is not shown\"/" "$SARIF"
exit "$code"
