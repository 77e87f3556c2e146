//! The rows that exist on a fresh store, and that an upgrade adds to one from before their class
//! was there. Ids, names and flags are FOG's; the long descriptions are ours.

mod boot;
mod client;
mod settings;

#[cfg(test)]
pub(crate) use settings::{
    with_effect as settings_with_effect, without_effect as settings_without_effect,
};

use super::class::Class;
use super::classes::{
    HookEvent, ImagePartitionType, ImageType, Os, StorageGroup, StorageNode, TaskState, TaskType,
};
use super::draft::{Draft, sequence_op};
use super::key;
use super::refusal::Refusal;
use super::value::Flag;
use crate::store::Compare;

/// id, name, icon, kernel, kernel arguments, advanced, access, description
type TaskTypeRow = (
    u32,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    bool,
    &'static str,
    &'static str,
);

#[rustfmt::skip]
const TASK_TYPES: &[TaskTypeRow] = &[
    (1, "Deploy", "download", "", "type=down", false, "both",
        "Deploys the host's image: writes it to its disk."),
    (2, "Capture", "upload", "", "type=up", false, "host",
        "Reads the host's disk and stores it as the content of its image."),
    (3, "Debug", "bug", "", "mode=onlydebug", true, "host",
        "Starts the imaging environment with a shell and does nothing by itself."),
    (4, "Memtest86+", "plus-square-o", "fog/memtest/memtest", "", true, "both",
        "Tests the host's memory until somebody stops it."),
    (5, "Test Disk", "hdd-o", "", "mode=checkdisk", true, "both",
        "Starts a tool that checks partition tables and finds lost partitions."),
    (6, "Disk Surface Test", "user-md", "", "mode=badblocks", true, "both",
        "Reads every sector of the disk and reports those that cannot be read."),
    (7, "Recover", "ambulance", "", "mode=photorec", true, "both",
        "Starts a tool that finds deleted files; save what it finds on another disk."),
    (8, "Multi-Cast", "share-alt", "", "type=down mc=yes", false, "group",
        "Deploys one image to many hosts, sent over the network once."),
    (10, "Hardware Inventory", "list-alt", "", "mode=inventory deployed=1", true, "both",
        "Collects what hardware the host has."),
    (11, "Password Reset", "key", "", "mode=winpassreset", true, "both",
        "Removes the password of a local Windows account."),
    (12, "All Snapins", "cubes", "", "", true, "both",
        "Runs every snapin of the host without imaging it."),
    (13, "Single Snapin", "cube", "", "", true, "both",
        "Runs one snapin without imaging the host."),
    (14, "Wake-Up", "plug", "", "", true, "both",
        "Wakes the host over the network; routers on the way must let such packets through."),
    (15, "Deploy - Debug", "arrow-circle-o-down", "", "type=down mode=debug", true, "host",
        "Prepares a deploy and waits at a shell until it is started there."),
    (16, "Capture - Debug", "arrow-circle-o-up", "", "type=up mode=debug", true, "host",
        "Prepares a capture and waits at a shell until it is started there."),
    (17, "Deploy - No Snapins", "chevron-circle-down", "", "type=down", true, "both",
        "Deploys the host's image and leaves its snapins alone."),
    (18, "Fast Wipe", "hourglass-o", "", "mode=wipe wipemode=fast", true, "both",
        "Clears the first sectors of the disk, so that its partitions are gone but its data is not."),
    (19, "Normal Wipe", "hourglass-2", "", "mode=wipe wipemode=normal", true, "both",
        "Overwrites the whole disk once with zeros."),
    (20, "Full Wipe", "hourglass", "", "mode=wipe wipemode=full", true, "both",
        "Overwrites the whole disk several times with random bytes."),
    (21, "Virus Scan", "exclamation-triangle", "", "mode=clamav avmode=s", true, "both",
        "Scans the host's file systems for viruses."),
    (22, "Virus Scan - Quarantine", "flag-o", "", "mode=clamav avmode=q", true, "both",
        "Scans the host's file systems for viruses and moves what it finds aside."),
];

/// id, name, icon, description; the order is the id.
#[rustfmt::skip]
const TASK_STATES: &[(u32, &str, &str, &str)] = &[
    (1, "Queued", "bookmark-o", "The task waits for its host to appear."),
    (2, "Checked In", "pause", "The host has appeared and waits for its turn."),
    (3, "In-Progress", "spinner fa-pulse fa-fw", "The host is being served."),
    (4, "Complete", "check-circle", "The task has done what it should."),
    (5, "Cancelled", "ban", "The task was stopped before its end."),
];

#[rustfmt::skip]
const IMAGE_TYPES: &[(u32, &str, &str)] = &[
    (1, "Single Disk - Resizable", "n"),
    (2, "Multiple Partition Image - Single Disk (Not Resizable)", "mps"),
    (3, "Multiple Partition Image - All Disks (Not Resizable)", "mpa"),
    (4, "Raw Image (Sector By Sector, DD, Slow)", "dd"),
];

#[rustfmt::skip]
const IMAGE_PARTITION_TYPES: &[(u32, &str, &str)] = &[
    (1, "Everything", "all"),
    (2, "Partition Table and MBR only", "mbr"),
    (3, "Partition 1 only", "1"),
    (4, "Partition 2 only", "2"),
    (5, "Partition 3 only", "3"),
    (6, "Partition 4 only", "4"),
    (7, "Partition 5 only", "5"),
    (8, "Partition 6 only", "6"),
    (9, "Partition 7 only", "7"),
    (10, "Partition 8 only", "8"),
    (11, "Partition 9 only", "9"),
    (12, "Partition 10 only", "10"),
];

#[rustfmt::skip]
const SYSTEMS: &[(u32, &str, &str)] = &[
    (1, "Windows 2000/XP", ""),
    (2, "Windows Vista", ""),
    (3, "Windows 98", ""),
    (4, "Windows Other", ""),
    (5, "Windows 7", ""),
    (6, "Windows 8", ""),
    (7, "Windows 8.1", ""),
    (8, "Apple Mac OS", ""),
    (9, "Windows 10", ""),
    (50, "Linux", ""),
    (51, "Chromium OS", "Chromium OS"),
    (99, "Other", ""),
];

/// Events that the server itself knows; a FOG server adds each when it fires it first.
const HOOK_EVENTS: &[&str] = &[
    "API_VALID_CLASSES",
    "API_TASKING_CLASSES",
    "API_ACTIVE_TASK_CLASSES",
    "API_GETTER",
    "API_INDIVDATA_MAPPING",
    "PROGRESS_STATE",
    "QUEUED_STATES",
    "API_MASSDATA_MAPPING",
    "QUEUED_STATE",
];

/// Adds the default rows of one class, as far as there is room.
pub(super) type Step = Box<dyn Fn(&mut Draft<'_>) -> Result<(), Refusal> + Send + Sync>;

/// Adds the default rows of every class that has never given out an id. Each step is a change of
/// its own.
pub(super) fn steps() -> Vec<Step> {
    let image_type = |&(id, name, kind): &(u32, &str, &str)| ImageType {
        id,
        name: name.to_owned(),
        kind: kind.to_owned(),
    };
    let partitions = |&(id, name, kind): &(u32, &str, &str)| ImagePartitionType {
        id,
        name: name.to_owned(),
        kind: kind.to_owned(),
    };
    let system = |&(id, name, about): &(u32, &str, &str)| Os {
        id,
        name: name.to_owned(),
        description: about.to_owned(),
    };
    let group = StorageGroup {
        id: 1,
        name: "default".to_owned(),
        description: "Made by the first start.".to_owned(),
    };
    let event = |(id, name): (u32, &&str)| HookEvent {
        id,
        name: (*name).to_owned(),
    };
    vec![
        add(TASK_TYPES.iter().map(task_type).collect()),
        add(TASK_STATES.iter().map(task_state).collect()),
        add(IMAGE_TYPES.iter().map(image_type).collect()),
        add(IMAGE_PARTITION_TYPES.iter().map(partitions).collect()),
        add(SYSTEMS.iter().map(system).collect()),
        add(vec![group]),
        add(vec![storage_node()]),
        add(client::modules()),
        add(client::kept_accounts()),
        add(boot::entries()),
        add(boot::keys()),
        add((1..).zip(HOOK_EVENTS).map(event).collect()),
        add(settings::rows()),
    ]
}

/// Keys and values of a row and its guard, generously.
const ROW_BYTES: usize = 2048;

/// In as many transactions as it takes: an etcd transaction has up to 128 operations. The counter
/// of ids comes with the last one and says that all are there; until then a start goes on where
/// another one, here or elsewhere, was stopped.
fn add<C: Class>(rows: Vec<C>) -> Step {
    Box::new(move |draft| {
        let tables = draft.tables();
        if tables.sequence(C::NAME).is_some() {
            return Ok(());
        }
        draft.require(Compare::Absent(key::sequence(C::NAME)));
        for row in rows
            .iter()
            .filter(|row| tables.of::<C>().get(row.id()).is_none())
        {
            if draft.has_room(2, ROW_BYTES) {
                draft.insert(row.clone())?;
            }
        }
        if draft.postponed() == 0 {
            draft.operate(sequence_op(
                C::NAME,
                rows.iter().map(Class::id).max().unwrap_or(0),
            ));
        }
        Ok(())
    })
}

fn task_type(
    &(id, name, icon, kernel, arguments, advanced, access, about): &TaskTypeRow,
) -> TaskType {
    TaskType {
        id,
        name: name.to_owned(),
        description: about.to_owned(),
        icon: icon.to_owned(),
        kernel: kernel.to_owned(),
        kernel_args: arguments.to_owned(),
        kind: "fog".to_owned(),
        is_advanced: advanced.into(),
        access: access.to_owned(),
        initrd: String::new(),
    }
}

fn task_state(&(id, name, icon, about): &(u32, &str, &str, &str)) -> TaskState {
    TaskState {
        id,
        name: name.to_owned(),
        description: about.to_owned(),
        order: id.into(),
        icon: icon.to_owned(),
    }
}

/// Its address, account and interface are known to whoever installs it, not here.
fn storage_node() -> StorageNode {
    StorageNode {
        id: 1,
        name: "DefaultMember".to_owned(),
        description: "Made by the first start.".to_owned(),
        is_master: Flag::Yes,
        storagegroup: 1,
        is_enabled: Flag::Yes,
        is_graph_enabled: Flag::Yes,
        path: "/images".to_owned(),
        ftppath: "/images/".to_owned(),
        snapinpath: "/opt/fog/snapins".to_owned(),
        sslpath: "/opt/fog/snapins/ssl".to_owned(),
        max_clients: 10,
        webroot: "/fog/".to_owned(),
        ..StorageNode::default()
    }
}
