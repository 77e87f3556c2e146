//! Snapins: programs that hosts run after imaging or on request.

use crate::state::class::{Class, Computed, Shape, id_in_field, unique_name};
use crate::state::field::{Field, field};
use crate::state::value::{Flag, FogTime};

/// A file and how hosts run it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Snapin {
    pub id: u32,
    pub name: String,
    pub description: String,
    pub file: String,
    pub args: String,
    pub created_time: FogTime,
    pub created_by: String,
    pub reboot: String,
    pub shutdown: Flag,
    pub run_with: String,
    pub run_with_args: String,
    pub protected: i64,
    pub is_enabled: Flag,
    pub to_replicate: Flag,
    pub hide: Flag,
    pub timeout: i64,
    pub packtype: Flag,
    pub hash: String,
    pub size: i64,
    pub anon3: String,
}

impl Class for Snapin {
    const NAME: &'static str = "snapin";
    const ABOUT: &'static str =
        "A program or script that hosts fetch and run, after an image was deployed or by a task.";
    const ALIASES: &'static [&'static str] = &["snapins"];
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the snapin."),
        field!(text, "name", 200, name)
            .required()
            .about("Name; no two snapins share one."),
        field!(long_text, "description", description)
            .about("Free text for people."),
        field!(long_text, "file", file)
            .required()
            .about("Name of the file that hosts run; an upload sets it."),
        field!(long_text, "args", args).about("Arguments that follow the file."),
        field!(time, "createdTime", created_time).about("When it was made, UTC."),
        field!(text, "createdBy", 200, created_by).about("Who made it."),
        field!(text, "reboot", 1, reboot).about("1: the host restarts afterwards."),
        field!(flag, "shutdown", shutdown)
            .about("1: the host powers off afterwards."),
        field!(text, "runWith", 245, run_with)
            .about("Program that runs the file; empty: the file runs itself."),
        field!(text, "runWithArgs", 200, run_with_args)
            .about("Arguments between that program and the file."),
        field!(number, "protected", protected)
            .within(-8_388_608, 8_388_607, 1)
            .about("1: people should not delete it; kept, not enforced."),
        field!(flag, "isEnabled", is_enabled).about("1: it may be run."),
        field!(flag, "toReplicate", to_replicate)
            .about("0: the file stays on the nodes that have it; anything else: every node of its groups gets it."),
        field!(flag, "hide", hide).about("1: the host shows nothing while it runs."),
        field!(number, "timeout", timeout)
            .about("Seconds after which the host stops it; 0: never."),
        field!(flag, "packtype", packtype)
            .about("1: the file is an archive to unpack first."),
        field!(text, "hash", 255, hash)
            .about("SHA-512 of the file in hexadecimal; an upload sets it."),
        field!(number, "size", size)
            .within(i64::MIN, i64::MAX, 1)
            .about("Size of the file in bytes; an upload sets it."),
        field!(text, "anon3", 45, anon3).about("Free for scripts."),
    ];
    const COMPUTED: &'static [Computed] = &[Computed {
        name: "storagegroupname",
        shape: Shape::Text,
        about: "Name of the storage group that has its file: the primary one, or the first it was put in.",
    }];
    const ACCEPTS: &'static [Computed] = &[
        Computed {
            name: "storagegroups",
            shape: Shape::Ids("storagegroup"),
            about: "Storage groups that get its file too; a new snapin is in the first group in any case.",
        },
        Computed {
            name: "hosts",
            shape: Shape::Ids("host"),
            about: "Hosts that have it.",
        },
    ];
    const POINTED_AT: bool = true;

    id_in_field!();
    unique_name!();
}
