"""What the programs of a FoundriesFactory send, byte for byte, and how they read what they are answered.

Three of them: the operator's command line (`Operator`), the tool that registers a device (`Operator.register`), the daemon
on it (`Machine`). All are written in Go, so requests have the form that its HTTP client gives them: names of headers are
capitalised, `Host` and `User-Agent` come first, then the length, then the others in the order of their names.
"""

import base64
import gzip
import hashlib
import hmac
import http.client
import json
import os
import re
import ssl
from urllib.parse import quote, urlencode, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.x509.oid import NameOID

# Everything else is an error to the command line, also what other programs call a success.
SUCCESS = {200, 201, 202, 204}
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
WITHOUT_ZONE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
LINES = 'the message of a refusal, as the command line prints it: "= MESSAGE", then " * FIELD: WHY" for each'


class Refused(Exception):
    """An answer that is no success, with what the command line would print of it."""

    def __init__(self, method, url, answer):
        self.status = answer.status
        try:
            body = json.loads(answer.body)
            message = body.get("message") or body["msg"]
            why = body.get("errors") or {}
        except (ValueError, KeyError, AttributeError) as error:
            raise AssertionError(f"{method} {url}: {answer.status} without {LINES}: {answer.body!r}") from error
        assert isinstance(message, str) and message, f"{LINES}: {answer.body!r}"
        if isinstance(why, dict):
            lines = [f"{field}: {text}" for field, text in why.items()]
        else:
            assert isinstance(why, list), f"{LINES}: {answer.body!r}"
            lines = list(why)
        self.errors = why
        told = [f"HTTP error during {method} '{url}': {answer.status}", f"= {message}", *(f" * {line}" for line in lines)]
        super().__init__("\n".join(told))


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        body = response.read()
        # The HTTP client asks for it by itself and unpacks it.
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.body = body

    def json(self):
        return json.loads(self.body)


class Connection:
    """Sends exactly the headers that it is told, and in this order."""

    def __init__(self, url, context):
        parts = urlsplit(url)
        self.base = f"{parts.scheme}://{parts.netloc}"
        self.host = parts.netloc
        self.wire = http.client.HTTPSConnection(parts.hostname, parts.port, context=context, timeout=30)

    def send(self, method, path, headers, body=None):
        sent = [("Host", self.host), ("User-Agent", headers.pop("User-Agent"))]
        # No length where there is no body, but for methods that usually have one.
        if body:
            sent.append(("Content-Length", str(len(body))))
        elif method in ("POST", "PUT", "PATCH"):
            sent.append(("Content-Length", "0"))
        sent += sorted(headers.items())
        sent.append(("Accept-Encoding", "gzip"))
        is_reused = self.wire.sock is not None
        try:
            return self.once(method, path, sent, body)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            self.wire.close()
            # A server may close a connection that nobody has used for a while.
            if not is_reused:
                raise
            return self.once(method, path, sent, body)

    def once(self, method, path, sent, body):
        self.wire.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in sent:
            self.wire.putheader(name, value)
        self.wire.endheaders(body or None)
        return Answer(self.wire.getresponse())


def compact(value):
    """JSON as Go writes it."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text.encode()


def config_file(name, value, unencrypted, on_changed=()):
    file = {"name": name, "value": value, "unencrypted": unencrypted}
    if on_changed:
        file["on-changed"] = list(on_changed)
    return file


def encrypt(public_key, text):
    """ECIES over P-256 as the command line does it, in base64."""
    recipient = serialization.load_pem_public_key(public_key.encode())
    assert isinstance(recipient.curve, ec.SECP256R1), recipient.curve
    ephemeral = ec.generate_private_key(ec.SECP256R1())
    shared = ephemeral.exchange(ec.ECDH(), recipient)
    key = hashlib.sha256(b"\x00\x00\x00\x01" + shared).digest()
    mac_key = hashlib.sha256(key[16:]).digest()
    start = os.urandom(16)
    cipher = Cipher(algorithms.AES(key[:16]), modes.CTR(start)).encryptor()
    sealed = start + cipher.update(text.encode()) + cipher.finalize()
    form = (serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    point = ephemeral.public_key().public_bytes(*form)
    return base64.b64encode(point + sealed + hmac.digest(mac_key, sealed, "sha256")).decode()


class Operator:
    def __init__(self, url, ca, factory, token):
        self.factory = factory
        self.token = token
        self.wire = Connection(url, ssl.create_default_context(cafile=ca))

    def raw(self, method, path, body=None, **more):
        headers = {"User-Agent": "fioctl-9b0a6e7", "Osf-Token": self.token, **more}
        if body is not None or method == "DELETE":
            # Also with DELETE, whose body is empty.
            headers["Content-Type"] = "application/json"
        return self.wire.send(method, path, headers, body)

    def call(self, method, path, value=None):
        """The JSON of a success; None where there is nothing to read."""
        body = None if value is None else compact(value)
        answer = self.raw(method, path, body)
        if answer.status not in SUCCESS:
            raise Refused(method, self.wire.base + path, answer)
        return answer.json() if answer.body else None

    def get(self, path):
        return self.call("GET", path)

    def at(self, rest):
        return f"/ota/factories/{quote(self.factory)}/{rest}"

    def paged(self, path, key):
        """A list whose pages are followed by `next`, which is a whole URL on the same host."""
        found = []
        while path:
            page = self.get(path)
            found += page[key]
            assert isinstance(page["total"], int), page
            following = page["next"]
            if following is not None:
                assert following.startswith(f"{self.wire.base}/ota/"), following
                following = following[len(self.wire.base) :]
            path = following
        return found

    # devices

    def devices(self, **filters):
        """`devices list` of today: only what is asked for."""
        query = urlencode(sorted({"factory": self.factory, "limit": 500, **filters}.items()))
        return self.device_page(f"/ota/devices/?{query}")

    def devices_of_old(self, **filters):
        """`devices list` of an older build: every parameter, mostly empty."""
        every = ("name_ilike", "match_tag", "target_name", "group", "uuid")
        values = {name: filters.get(name, "") for name in every}
        query = urlencode({"mine": 0, **values, "factory": self.factory, "page": 1, "limit": 500})
        return self.device_page(f"/ota/devices/?{query}")

    def device_page(self, path):
        page = self.get(path)
        assert isinstance(page["total"], int) and "next" in page, page
        for device in page["devices"]:
            check_device(device)
            assert isinstance(device["device-group"], str), device
        return [device["name"] for device in page["devices"]]

    def device(self, name):
        device = self.get(f"/ota/devices/{quote(name)}/?{urlencode({'factory': self.factory})}")
        check_device(device)
        check_device_alone(device)
        return device

    def of_device(self, device, rest="", **more):
        """The path of something of a device, as a client of today writes it when it knows the UUID."""
        query = urlencode(sorted({"factory": self.factory, "by-uuid": 1, **more}.items()))
        return f"/ota/devices/{device['uuid']}/{rest}?{query}"

    def of_device_of_old(self, name, rest=""):
        return f"/ota/devices/{quote(name)}/{rest}?{urlencode({'factory': self.factory})}"

    # configurations, wherever they are

    def set_config(self, path, files, reason="", method="PATCH"):
        made = self.call(method, path, {"reason": reason, "files": files})
        check_config(made)
        return made

    def config_log(self, path):
        log = self.paged(path, "config")
        for version in log:
            check_config(version)
        return log

    # event queues

    def event_queues(self):
        """`event-queues list`: a bare list."""
        queues = self.get(self.at("event-queues/"))
        assert isinstance(queues, list), queues
        return sorted((queue["label"], queue["type"], queue.get("push-url", "")) for queue in queues)

    # targets

    def targets(self, version=None):
        query = "" if version is None else f"?version={version}"
        targets = self.get(self.at(f"targets/{query}"))
        for name, target in targets.items():
            check_target(name, target)
        return targets

    def change_targets(self, method, value):
        """`targets tag` and `targets prune`: the change, then its log until the job is done."""
        job = self.call(method, self.at("targets/"), value)
        url = job["jobserv-url"]
        assert url.startswith(f"{self.wire.base}/") and url.endswith("/"), job
        assert isinstance(job["web-url"], str), job
        log, state = b"", None
        while state not in ("PASSED", "FAILED"):
            path = url[len(self.wire.base) :] + "runs/UpdateTargets/console.log"
            answer = self.raw("GET", path, **{"X-Offset": str(len(log))})
            assert answer.status == 200, answer.status
            log += answer.body
            # Without the header the client prints what it has, and stops.
            state = answer.headers.get("X-RUN-STATUS", "PASSED")
        return state, log.decode()

    # registration

    def register(self, uuid, name, folder, production=False, **more):
        """What the tool on a device does: a key, a request with the token in base64, files written as they come."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = [
            x509.NameAttribute(NameOID.COMMON_NAME, uuid),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, self.factory),
        ]
        if production:
            subject.append(x509.NameAttribute(NameOID.BUSINESS_CATEGORY, "production"))
        csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject)).sign(key, hashes.SHA256())
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        # Every value is a text, booleans too.
        body = {
            "name": name,
            "uuid": uuid,
            "csr": csr.public_bytes(serialization.Encoding.PEM).decode(),
            "hardware-id": "intel-corei7-64",
            "sota-config-dir": folder,
            "use-ostree-server": "true",
            "overrides": {"tls": {}, "pacman": {"tags": '"lab"'}, "import": {}, "storage": {}},
            **more,
        }
        bearer = base64.b64encode(self.token.encode()).decode()
        headers = {
            "User-Agent": "lmp-device-register",
            "Authorization": f"Bearer {bearer}",
            "Content-Type": "application/json",
        }
        answer = self.wire.send("POST", "/ota/devices/", headers, compact(body))
        if answer.status not in (200, 201):
            raise Refused("POST", f"{self.wire.base}/ota/devices/", answer)
        os.makedirs(folder, exist_ok=True)
        files = answer.json()
        assert {"client.pem", "root.crt", "sota.toml"} <= files.keys(), files.keys()
        for file, content in {**files, "pkey.pem": key.private_bytes(*form).decode()}.items():
            with open(os.path.join(folder, file), "w", encoding="utf-8") as out:
                out.write(content)
        server = re.search(r'^server = "(https://[^"]+)"', files["sota.toml"], re.MULTILINE)
        return Machine(server.group(1), folder, uuid)


class Machine:
    """The daemon on a device, and the update agent beside it."""

    def __init__(self, gateway, folder, uuid):
        self.uuid = uuid
        self.folder = folder
        context = ssl.create_default_context(cafile=os.path.join(folder, "root.crt"))
        context.load_cert_chain(os.path.join(folder, "client.pem"), os.path.join(folder, "pkey.pem"))
        self.wire = Connection(gateway, context)
        self.date = None

    def send(self, method, path, value=None, **more):
        headers = {"User-Agent": "Go-http-client/1.1", **more}
        if value is not None:
            headers["Content-Type"] = "application/json"
        return self.wire.send(method, path, headers, None if value is None else compact(value))

    def config(self):
        """Files by name; None when there is nothing new, {} when there is no configuration."""
        more = {}
        if self.date is not None:
            # The daemon writes the zone so, which is no HTTP date.
            more["If-Modified-Since"] = self.date.replace("GMT", "UTC")
        answer = self.send("GET", "/config", **more)
        if answer.status == 304:
            return None
        if answer.status == 204:
            return {}
        assert answer.status == 200, f"{answer.status}: {answer.body!r}"
        self.date = answer.headers["Date"]
        assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", self.date), self.date
        files = answer.json()
        for name, file in files.items():
            # A key with a hyphen would be passed over.
            lower = {key.lower() for key in file}
            assert "value" in lower and lower <= {"value", "unencrypted", "onchanged"}, f"{name}: {file}"
        return {name: {key.lower(): value for key, value in file.items()} for name, file in files.items()}


# How answers are read: a value of another type stops the command line.


def check_device(device):
    texts = "uuid owner factory name created-at last-seen ostree-hash target-name current-update tag public-key status"
    for key in texts.split():
        assert isinstance(device[key], str), f"{key}: {device}"
    for key in ("up-to-date", "is-prod", "is-wave"):
        assert isinstance(device[key], bool), f"{key}: {device}"
    for key in ("device-tags", "docker-apps"):
        assert all(isinstance(one, str) for one in device[key]), f"{key}: {device}"
    seen = device["last-seen"]
    assert seen == "" or RFC_3339.fullmatch(seen), seen
    assert RFC_3339.fullmatch(device["created-at"]), device
    network = device["network-info"]
    if network is not None:
        assert all(isinstance(network[key], str) for key in ("hostname", "local_ipv4", "mac")), network
    for key in ("created-by", "created-at", "updated-by", "updated-at"):
        assert isinstance(device["change-meta"][key], str), device["change-meta"]


def check_device_alone(device):
    for key in ("lmp-ver", "aktualizr-toml"):
        assert isinstance(device[key], str), f"{key}: {device}"
    assert isinstance(device["secondary-ecus"], list), device
    if device["group"] is not None:
        check_group(device["group"])
    if device["active-config"] is not None:
        check_config(device["active-config"])
    assert "-----BEGIN PUBLIC KEY-----\n" in device["public-key"], device["public-key"]


def check_group(group):
    assert isinstance(group["name"], str) and isinstance(group["description"], str), group


def check_test(test, device):
    for key in "name test-id target-name device-name status details".split():
        assert isinstance(test[key], str), f"{key}: {test}"
    # Seconds, which the command line prints as a time; 0 as long as it runs.
    assert isinstance(test["created-on"], int) and isinstance(test["completed-on"], int), test
    assert test["completed-on"] == 0 or test["completed-on"] >= test["created-on"] > 0, test
    assert test["device-uuid"] == device["uuid"] and isinstance(test["results"], list), test
    assert all(isinstance(name, str) for name in test["artifacts"]), test


def check_config(version):
    assert WITHOUT_ZONE.fullmatch(version["created-at"]), version
    assert version["applied-at"] is None or WITHOUT_ZONE.fullmatch(version["applied-at"]), version
    assert isinstance(version["created-by"], str) and isinstance(version["reason"], str), version
    for file in version["files"]:
        assert isinstance(file["name"], str) and isinstance(file["value"], str), file
        assert isinstance(file["unencrypted"], bool), file
        assert all(isinstance(word, str) for word in file.get("on-changed", [])), file
    names = [file["name"] for file in version["files"]]
    assert names == sorted(names) and len(names) == len(set(names)), names


def check_target(name, target):
    custom = target["custom"]
    # A version that is no number stops the command line, and another format hides the target.
    assert name == f"{custom['name']}-{int(custom['version'])}", f"{name}: {target}"
    assert custom["targetFormat"] == "OSTREE", target
    assert isinstance(target["length"], int), target
    for value in target["hashes"].values():
        # Taken for base64 and printed as such.
        assert len(value) == 64 and base64.b64encode(base64.b64decode(value, validate=True)).decode() == value, value
    assert custom["hardwareIds"] and all(isinstance(one, str) for one in custom["hardwareIds"]), target
    assert all(isinstance(tag, str) for tag in custom["tags"]), target
    for key in ("arch", "image-file", "uri", "createdAt", "updatedAt"):
        assert isinstance(custom[key], str), f"{key}: {target}"
