"""Walks through every subcommand of a FoundriesFactory's command line, and through the life of a device, against a real
controller. `factory_client.py` sends what the real programs send; here is in which order, and what has to come of it.

Environment: FOGHORN_URL, FOGHORN_CA, FOGHORN_HOST (the program foghorn-host), FACTORY, FACTORY_TOKEN, FACTORY_IMAGE (an image
with one version), FACTORY_FOLDER (for the files of devices; does not exist yet).
"""

import os
import subprocess
import time
from urllib.parse import quote, urlsplit

from factory_client import Operator, Refused, check_device, check_device_alone, check_group, check_test, compact, config_file, encrypt

FOLDER = os.environ["FACTORY_FOLDER"]
TARGET = f"{os.environ['FACTORY_IMAGE']}-1"
FIRST, SECOND, VAULT = (f"5a1c0d2e-7b1f-4c6e-9a53-0f6f7d3b02{number:02}" for number in (1, 2, 3))
# What `config updates` writes, and what runs when it has changed.
SETTINGS = "z-50-fioctl.toml"
UPDATE_HANDLER = ["/usr/share/fioconfig/handlers/aktualizr-toml-update"]
OVERRIDE = "Override aktualizr-lite update configuration"
ONE_SHOT = "/usr/share/fioconfig/handlers/fioconfig-oneshot"

operator = Operator(os.environ["FOGHORN_URL"], os.environ["FOGHORN_CA"], os.environ["FACTORY"], os.environ["FACTORY_TOKEN"])


def same(found, expected):
    assert found == expected, f"{found!r} is not {expected!r}"


def refused(status, act, *arguments, **more):
    """The command line ends with status 1 and prints why."""
    try:
        answer = act(*arguments, **more)
    except Refused as error:
        same(error.status, status)
        return error
    raise AssertionError(f"{act.__name__} {arguments} was answered {answer!r}, not {status}")


def names(version):
    return [file["name"] for file in version["files"]]


def newest(machine):
    """The configuration, asked for until the second of its last change has passed: then there is nothing new."""
    files, limit = None, time.monotonic() + 30
    while (found := machine.config()) is not None:
        files = found
        assert found and time.monotonic() < limit, f"asked again and again: {found}"
        time.sleep(0.1)
    return files


def register():
    first = operator.register(FIRST, "till-1", f"{FOLDER}/till-1")
    operator.register(SECOND, "till-2", f"{FOLDER}/till-2")
    operator.register(VAULT, "vault", f"{FOLDER}/vault", production=True)
    again = refused(409, operator.register, FIRST, "till-7", f"{FOLDER}/again")
    assert "exists" in str(again), again
    refused(409, operator.register, FIRST[:-2] + "04", "till-1", f"{FOLDER}/again")
    return first


def device_speaks(machine):
    same(machine.config(), {})
    headers = {"X-Ats-Target": TARGET, "X-Ats-Tags": "lab", "X-Ats-Dockerapps": "shop,till", "X-Ats-Ostreehash": ""}
    same(machine.send("GET", "/device", **headers).status, 200)
    same(machine.send("PUT", "/system_info", {"class": "system", "children": []}).status, 200)
    network = {"local_ipv4": "10.0.0.7", "hostname": "till-1", "mac": "52:54:00:0f:10:12"}
    same(machine.send("PUT", "/system_info/network", network).status, 200)
    toml = {"User-Agent": "Go-http-client/1.1", "Content-Type": "application/toml"}
    same(machine.wire.send("PUT", "/system_info/config", toml, b'[pacman]\ntags = "lab"\n').status, 200)
    states = {"deviceTime": "2026-11-30T20:00:00Z", "ostree": "", "apps": {"shop": {"state": "healthy"}}}
    same(machine.send("POST", "/apps-states", states).status, 200)
    # Anything but 201 is a failure to the daemon.
    own = {"reason": "Set Foundries.io initial config", "files": [config_file("fio-remote-actions", "reboot", True)]}
    same(machine.send("PATCH", "/config", own).status, 201)


def device_updates_itself(machine):
    about = {"correlationId": "update-1", "targetName": TARGET, "version": "1", "details": ""}
    started = {"id": "EcuDownloadStarted", "version": 0}
    ended = {"id": "EcuInstallationCompleted", "version": 0}
    events = [
        {"id": "e-1", "deviceTime": "2026-11-30T20:00:00Z", "eventType": started, "event": about},
        {"id": "broken"},
        {"id": "e-2", "deviceTime": "2026-11-30T20:01:00Z", "eventType": ended, "event": {**about, "success": True}},
    ]
    answer = machine.send("POST", "/events", events)
    same((answer.status, answer.body), (200, b""))


def device_runs_an_action(machine):
    command = "reboot_abcdefghijkl"
    begun = machine.send("POST", "/tests", {"name": "fioconfig-oneshot-reboot", "test-id": command})
    same(begun.status, 201)
    test = begun.body.decode()
    assert test and "\n" not in test, test
    told = machine.send("PUT", f"/tests/{quote(test)}", {"status": "PASSED", "details": "", "artifacts": ["console.log"]})
    same(told.status, 200)
    place = told.json()["console.log"]
    parts = urlsplit(place["url"])
    same(f"{parts.scheme}://{parts.netloc}", machine.wire.base)
    headers = {"User-Agent": "Go-http-client/1.1", "Content-Type": place["content-type"]}
    same(machine.wire.send("PUT", parts.path, headers, b"going down\n").status, 200)


def devices_list():
    everybody = ["till-1", "till-2", "vault"]
    for of in (operator.devices, operator.devices_of_old):
        same(of(), everybody)
        same(of(match_tag="lab"), ["till-1"])
        same(of(target_name=TARGET), ["till-1"])
        same(of(uuid=SECOND), ["till-2"])
        same(of(group="front"), [])
    same(operator.devices(name="till-*"), everybody[:2])
    same(operator.devices_of_old(name_ilike="till-%"), everybody[:2])
    same(operator.devices(mine=1), everybody)
    same(operator.devices(prod=1), ["vault"])
    same(operator.devices(prod=0), everybody[:2])
    same(operator.devices(sortby="-name"), everybody[::-1])
    same(operator.devices(sortby="-last_seen")[0], "till-1")
    same(operator.devices(sortby="last_seen,name")[-1], "till-1")
    # Its user may choose 10, 20 and so on; pages are also what `http get` asks for.
    same(operator.devices(limit=10, page=1), everybody)
    found = operator.paged(f"/ota/devices/?factory={quote(operator.factory)}&limit=2&name=%2A", "devices")
    same([device["name"] for device in found], everybody)


def users():
    """Ids by name, as the column `owner` and the logs show them."""
    by_id = {user["polis-id"]: user["name"] for user in operator.get(operator.at("users/"))}
    for user, name in by_id.items():
        one = operator.get(operator.at(f"users/{user}/"))
        same(one["name"], name)
        assert isinstance(one["teams-ext"], list) and isinstance(one["effective-scopes"], list), one
    return by_id


def targets():
    same(list(operator.targets()), [TARGET])
    same(list(operator.targets(1)), [TARGET])
    same(operator.targets(7), {})
    # Without a slash at its end.
    one = operator.get(operator.at(f"targets/{TARGET}"))
    same(one["custom"]["tags"], [])
    refused(404, operator.get, operator.at("targets/nothing-1"))
    state, log = operator.change_targets("PATCH", {"targets": {TARGET: {"custom": {"tags": ["lab"]}}}})
    assert state == "PASSED" and log, (state, log)
    same(operator.targets()[TARGET]["custom"]["tags"], ["lab"])
    # The only version of its image.
    refused(409, operator.change_targets, "DELETE", {"targets": [TARGET]})
    same(list(operator.targets()), [TARGET])


def devices_show(by_id):
    device = operator.device("till-1")
    same((device["uuid"], device["tag"], device["docker-apps"]), (FIRST, "lab", ["shop", "till"]))
    same(device["up-to-date"], True)
    same(device["network-info"]["local_ipv4"], "10.0.0.7")
    same(device["hardware-info"], {"class": "system", "children": []})
    assert device["owner"] in by_id, device["owner"]
    same(names(device["active-config"]), ["fio-remote-actions"])
    again = operator.get(operator.of_device(device))
    check_device(again)
    check_device_alone(again)
    same(again["name"], "till-1")
    refused(404, operator.device, "nobody")
    return device


def devices_config(device, by_id):
    secret = config_file("wifi", encrypt(device["public-key"], "correct horse & <battery>"), False)
    plain = config_file("app.config", '[page]\nurl = ""\n', True)
    path = operator.of_device(device, "config/")
    made = operator.set_config(path, [secret, plain], "first")
    same(names(made), ["app.config", "fio-remote-actions", "wifi"])
    assert made["applied-at"] is None and made["created-by"] in by_id, made
    # An older client keeps the name.
    old = operator.of_device_of_old("till-1", "config/")
    deep = config_file("sub/dir/x", "deep", True, ["/usr/share/fioconfig/handlers/h", "arg"])
    made = operator.set_config(old, [deep], "second")
    same(names(made), ["app.config", "fio-remote-actions", "sub/dir/x", "wifi"])
    same([file["value"] for file in made["files"] if file["name"] == "wifi"], [secret["value"]])
    # `config updates --force`, and a remote action.
    settings = config_file(SETTINGS, '\n[pacman]\n  tags = "lab"\n', True, UPDATE_HANDLER)
    operator.set_config(operator.of_device(device, "config/", force=1), [settings], OVERRIDE)
    shot = "COMMAND_ID=reboot_0123456789abc\nCOMMAND_CAPTURE=1\n"
    operator.set_config(path, [config_file("fioconfig-oneshot-reboot", shot, True, [ONE_SHOT, "reboot"])], "a trigger")
    # Deletes a file of a folder.
    same(operator.call("DELETE", operator.of_device(device, "config/sub/dir/x/")), None)
    refused(404, operator.call, "DELETE", operator.of_device(device, "config/sub/dir/x/"))

    log = operator.config_log(path)
    same([version["reason"] for version in log[1:4]], ["a trigger", OVERRIDE, "second"])
    same(len(log), 6)
    same(len(operator.config_log(operator.of_device(device, "config/", limit=2))), 6)
    for version in log:
        # The device's own has no user.
        assert version["created-by"] in {"", *by_id}, version["created-by"]
    large = config_file("large", "x" * 1_100_000, True)
    refused(413, operator.set_config, path, [large])
    for name in ("../up", "/etc/passwd", "a/../b", "", "a\x00b"):
        refused(400, operator.set_config, path, [config_file(name, "", True)])
    refused(400, operator.set_config, path, [plain, plain])
    same(len(operator.config_log(path)), 6)


def configs_of_others(by_id):
    group = operator.call("POST", operator.at("device-groups/"), {"name": "front", "description": "near the door"})
    check_group(group)
    refused(409, operator.call, "POST", operator.at("device-groups/"), {"name": "front", "description": ""})
    groups = operator.get(operator.at("device-groups/"))["groups"]
    same([group["name"] for group in groups], ["front"])
    for rest in ("config/", "device-groups/front/config/"):
        path = operator.at(rest)
        pin = config_file("pin", f"secret of {rest}", False)
        note = config_file("note", rest, True)
        made = operator.set_config(path, [pin, note], "first", "POST")
        # A secret of many devices is sent in clear, and shown to nobody.
        same([(file["name"], file["value"]) for file in made["files"]], [("note", rest), ("pin", "")])
        operator.set_config(path, [config_file(SETTINGS, '[pacman]\n  tags = "stable"\n', True, UPDATE_HANDLER)])
        operator.call("DELETE", operator.at(f"{rest}{SETTINGS}/"))
        log = operator.config_log(path)
        same([names(version) for version in log], [["note", "pin"], ["note", "pin", SETTINGS], ["note", "pin"]])
        for version in log:
            assert version["created-by"] in by_id and version["applied-at"] is None, version
            assert rest not in "".join(file["value"] for file in version["files"] if file["name"] == "pin"), version
    renamed = operator.call("PATCH", operator.at("device-groups/front/"), {"name": "desk", "description": "inside"})
    same((renamed["name"], renamed["description"]), ("desk", "inside"))
    operator.call("PATCH", operator.at("device-groups/desk/"), {"name": "front", "description": "inside"})


def device_is_configured(device, machine):
    moved = operator.call("PATCH", operator.of_device(device), {"group": "front"})
    same(moved["group"]["name"], "front")
    same(operator.devices(group="front"), ["till-1"])
    refused(409, operator.call, "DELETE", operator.at("device-groups/front/"))
    refused(404, operator.call, "PATCH", operator.of_device(device), {"group": "nowhere"})

    files = newest(machine)
    same(sorted(files), ["app.config", "fio-remote-actions", "fioconfig-oneshot-reboot", "note", "pin", "wifi", SETTINGS])
    # The gateway has encrypted the group's secret for this machine.
    assert not files["pin"].get("unencrypted") and "secret of" not in files["pin"]["value"], files["pin"]
    assert not files["wifi"].get("unencrypted"), files["wifi"]
    same(files[SETTINGS]["onchanged"], UPDATE_HANDLER)
    latest = operator.config_log(operator.of_device(device, "config/"))[0]
    assert latest["applied-at"] is not None, latest


def host_service_takes_it(machine):
    """Our own daemon opens what the command line has encrypted, and runs the action that it has ordered."""
    secrets, actions, ran = f"{FOLDER}/secrets", f"{FOLDER}/actions", f"{FOLDER}/ran"
    os.makedirs(actions)
    with open(f"{actions}/reboot", "w", encoding="utf-8") as script:
        script.write(f'#!/bin/sh\necho going down\nbasename "$CONFIG_FILE" >> {ran}\n')
    os.chmod(f"{actions}/reboot", 0o755)
    # Handlers are where the command line thinks that they are: that of actions is part of the daemon.
    settings = f"{machine.folder}/sota.toml"
    command = [os.environ["FOGHORN_HOST"], "check-in", "--config", settings, "--secrets-dir", secrets, "--actions-dir", actions]
    for said in ("the config was extracted", "the config has not changed"):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0 and done.stdout.startswith(said), f"{said}: {done}"

    def read(path):
        with open(path, encoding="utf-8") as file:
            return file.read()

    same(read(f"{secrets}/wifi"), "correct horse & <battery>")
    same(read(f"{secrets}/pin"), "secret of device-groups/front/config/")
    same(read(f"{secrets}/app.config"), '[page]\nurl = ""\n')
    assert 'tags = "lab"' in read(f"{secrets}/{SETTINGS}"), read(f"{secrets}/{SETTINGS}")
    same(read(ran), "fioconfig-oneshot-reboot\n")


def devices_updates(device):
    updates = operator.paged(operator.of_device(device, "updates/"), "updates")
    same([update["correlation-id"] for update in updates], ["update-1"])
    same((updates[0]["target"], updates[0]["version"]), (TARGET, "1"))
    assert isinstance(updates[0]["time"], str), updates
    events = operator.get(operator.of_device(device, "updates/update-1/"))
    same([event["eventType"]["id"] for event in events], ["EcuDownloadStarted", "EcuInstallationCompleted"])
    same(events[1]["event"]["success"], True)
    for event in events:
        texts = (event["deviceTime"], event["event"]["version"], event["event"]["targetName"], event["event"]["details"])
        assert all(isinstance(text, str) for text in texts), event
    states = operator.get(operator.of_device(device, "apps-states/"))["apps-states"]
    same(states[0]["apps"]["shop"]["state"], "healthy")


def status():
    for query in ("", "?offline-threshold=4"):
        found = operator.get(operator.at(f"status/{query}"))
        same(found["total-devices"], 3)
        lab = [tag for tag in found["tags"] if tag["name"] == "lab"]
        same([(tag["devices-total"], tag["devices-online"], tag["devices-on-latest"]) for tag in lab], [(1, 1, 1)])
        same([(target["version"], target["is-orphan"]) for target in lab[0]["targets"]], [(1, False)])
        same(len(found["prod-tags"]), 1)


def devices_tests(device, by_uuid):
    """What the device has sent, by its name and by its UUID; the newest first."""
    path = operator.of_device(device, "tests/") if by_uuid else operator.of_device_of_old(device["name"], "tests/")
    tests = operator.paged(path, "tests")
    sent = [test for test in tests if test["ordered-as"] == "reboot_abcdefghijkl"]
    same([(test["name"], test["status"], test["artifacts"]) for test in sent], [("fioconfig-oneshot-reboot", "PASSED", ["console.log"])])
    for test in tests:
        check_test(test, device)
    rest = f"tests/{quote(sent[0]['test-id'])}/"
    one = operator.of_device(device, rest) if by_uuid else operator.of_device_of_old(device["name"], rest)
    same(operator.get(one), sent[0])
    file, query = one.split("?")
    console = operator.raw("GET", f"{file}console.log/?{query}")
    same((console.status, console.body), (200, b"going down\n"))
    refused(404, operator.get, operator.of_device(device, "tests/nothing/"))
    return [test["test-id"] for test in tests]


def event_queues():
    """`mk`, `mk-push`, `list` and `rm`."""
    path, away = operator.at("event-queues/"), "https://127.0.0.1:9/hook?key=geheim"
    same(operator.event_queues(), [])
    pull = operator.call("POST", path, {"label": "pulled", "type": "pull"})
    # The command line writes what it is answered into a file, for the program that fetches.
    assert pull["pull-url"].startswith(f"{operator.wire.base}/ota/"), pull
    same(operator.get(pull["pull-url"][len(operator.wire.base) :]), {"messages": []})
    operator.call("POST", path, {"label": "pushed", "type": "push", "push-url": away})
    same(operator.event_queues(), [("pulled", "pull", ""), ("pushed", "push", "https://127.0.0.1:9/hook?…")])
    refused(409, operator.call, "POST", path, {"label": "pulled", "type": "pull"})
    refused(400, operator.call, "POST", path, {"label": "nowhere", "type": "push"})
    for label in ("pulled", "pushed"):
        same(operator.call("DELETE", operator.at(f"event-queues/{label}/")), None)
        refused(404, operator.call, "DELETE", operator.at(f"event-queues/{label}/"))
    same(operator.event_queues(), [])


def not_served():
    """The command line prints why."""
    for method, rest, value in (
        ("GET", "waves/?limit=20&page=1", None),
        ("GET", "teams/", None),
        ("GET", "certs/", None),
        ("POST", "targets/", {"tags": ["lab"]}),
    ):
        told = refused(501, operator.call, method, operator.at(rest), value)
        assert "not " in str(told), told


def devices_end(device, by_id):
    owner = next(iter(by_id))
    same(operator.call("PATCH", operator.of_device(device), {"owner": owner})["owner"], owner)
    same(operator.call("PATCH", operator.of_device(device), {"name": "till-9"})["name"], "till-9")
    refused(404, operator.device, "till-1")
    refused(409, operator.call, "PATCH", operator.of_device(device), {"name": "till-2"})
    out = operator.call("PATCH", operator.of_device(device), {"group": ""})
    same(out["group"], None)
    operator.call("DELETE", operator.at("device-groups/front/"))
    same(operator.get(operator.at("device-groups/"))["groups"], [])
    operator.call("DELETE", operator.of_device(device))
    same(operator.devices(), ["till-2", "vault"])
    denied = operator.get(operator.at("denied-devices/?limit=500&page=1"))
    same([device["uuid"] for device in denied["devices"]], [FIRST])


def strangers():
    """A token that is none, and one that comes as the client credentials of today do."""
    other = Operator(os.environ["FOGHORN_URL"], os.environ["FOGHORN_CA"], operator.factory, "no-token")
    refused(401, other.devices)
    factories = operator.get("/ota/factories/?admin=1")
    assert operator.factory in [factory["name"] for factory in factories], factories
    refused(404, operator.get, "/ota/factories/nowhere/targets/")
    answer = operator.raw("PATCH", "/ota/devices/vault/", compact(["vault"]))
    same(answer.status, 400)
    same(operator.raw("PATCH", "/ota/devices/vault/", b'{"name":').status, 400)


machine = register()
device_speaks(machine)
device_updates_itself(machine)
device_runs_an_action(machine)
devices_list()
by_id = users()
targets()
device = devices_show(by_id)
devices_config(device, by_id)
configs_of_others(by_id)
device_is_configured(device, machine)
host_service_takes_it(machine)
devices_updates(device)
same(devices_tests(device, by_uuid=True), devices_tests(device, by_uuid=False))
status()
event_queues()
not_served()
devices_end(device, by_id)
same(machine.send("GET", "/config").status, 403)
strangers()
print("walked to the end")
