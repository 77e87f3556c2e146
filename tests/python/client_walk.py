"""Walks through the API with the client that was generated from its description.

Arguments: folder of the generated client. Environment: FOGHORN_URL, FOGHORN_API_TOKEN, FOGHORN_USER_TOKEN, FOGHORN_CA.
"""

import os
import ssl
import sys

sys.path.insert(0, sys.argv[1])

from foghorn_client import Client  # noqa: E402
from foghorn_client.api.fog_hosts_and_groups import host_create, host_delete, host_get, host_list, host_task  # noqa: E402
from foghorn_client.api.fog_tasks import task_active, task_cancel, task_get  # noqa: E402
from foghorn_client.models import HostCreate, HostFilter, TaskFilter, TaskOrder  # noqa: E402

client = Client(
    base_url=os.environ["FOGHORN_URL"],
    headers={
        "fog-api-token": os.environ["FOGHORN_API_TOKEN"],
        "fog-user-token": os.environ["FOGHORN_USER_TOKEN"],
    },
    verify_ssl=ssl.create_default_context(cafile=os.environ["FOGHORN_CA"]),
    timeout=30,
)


def parsed(answer, status=200):
    assert answer.status_code == status, f"{answer.status_code}: {answer.content!r}"
    return answer.parsed


before = parsed(host_list.sync_detailed(client=client, body=HostFilter()))
assert before.count == len(before.hosts)

wanted = HostCreate.from_dict({"name": "generated", "macs": ["52:54:00:0c:11:01"], "description": "by a client"})
host = parsed(host_create.sync_detailed(client=client, body=wanted))
assert (host.name, host.primac, host.description) == ("generated", "52:54:00:0c:11:01", "by a client")
number = int(host.id)

found = parsed(host_list.sync_detailed(client=client, body=HostFilter.from_dict({"name": "gen%"})))
assert [row.id for row in found.hosts] == [host.id]

# 4 needs no image: a memory test.
parsed(host_task.sync_detailed(number, client=client, body=TaskOrder.from_dict({"taskTypeID": 4})))
active = parsed(task_active.sync_detailed(client=client, body=TaskFilter()))
(task,) = [row for row in active.tasks if row.host_id == host.id]
assert parsed(task_get.sync_detailed(int(task.id), client=client)).state.name == "Queued"
parsed(task_cancel.sync_detailed(int(task.id), client=client))
assert parsed(task_get.sync_detailed(int(task.id), client=client)).state_id == "5"

parsed(host_delete.sync_detailed(number, client=client))
gone = host_get.sync_detailed(number, client=client)
assert gone.status_code == 404, gone.status_code
print(f"host {number}, task {task.id}: created, read, cancelled, deleted")
