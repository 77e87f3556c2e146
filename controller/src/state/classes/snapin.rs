//! Snapins: programs that hosts run after imaging or on request.

use crate::state::class::{Class, Computed, Shape, Unique, id_in_field};
use crate::state::field::Field;
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
        Field::text("name", 200, |c: &Self| &c.name, |c| &mut c.name)
            .required()
            .about("Name; no two snapins share one."),
        Field::long_text("description", |c: &Self| &c.description, |c| &mut c.description)
            .about("Free text for people."),
        Field::long_text("file", |c: &Self| &c.file, |c| &mut c.file)
            .required()
            .about("Name of the file that hosts run; an upload sets it."),
        Field::long_text("args", |c: &Self| &c.args,
            |c| &mut c.args).about("Arguments that follow the file."),
        Field::time("createdTime", |c: &Self| &c.created_time,
            |c| &mut c.created_time).about("When it was made, UTC."),
        Field::text("createdBy", 200, |c: &Self| &c.created_by,
            |c| &mut c.created_by).about("Who made it."),
        Field::text("reboot", 1, |c: &Self| &c.reboot,
            |c| &mut c.reboot).about("1: the host restarts afterwards."),
        Field::flag("shutdown", |c: &Self| &c.shutdown, |c| &mut c.shutdown)
            .about("1: the host powers off afterwards."),
        Field::text("runWith", 245, |c: &Self| &c.run_with, |c| &mut c.run_with)
            .about("Program that runs the file; empty: the file runs itself."),
        Field::text("runWithArgs", 200, |c: &Self| &c.run_with_args, |c| &mut c.run_with_args)
            .about("Arguments between that program and the file."),
        Field::number("protected", |c: &Self| &c.protected, |c| &mut c.protected)
            .within(-8_388_608, 8_388_607, 1)
            .about("1: people should not delete it; kept, not enforced."),
        Field::flag("isEnabled", |c: &Self| &c.is_enabled,
            |c| &mut c.is_enabled).about("1: it may be run."),
        Field::flag("toReplicate", |c: &Self| &c.to_replicate, |c| &mut c.to_replicate)
            .about("0: the file stays on the nodes that have it; anything else: every node of its groups gets it."),
        Field::flag("hide", |c: &Self| &c.hide,
            |c| &mut c.hide).about("1: the host shows nothing while it runs."),
        Field::number("timeout", |c: &Self| &c.timeout, |c| &mut c.timeout)
            .about("Seconds after which the host stops it; 0: never."),
        Field::flag("packtype", |c: &Self| &c.packtype, |c| &mut c.packtype)
            .about("1: the file is an archive to unpack first."),
        Field::text("hash", 255, |c: &Self| &c.hash, |c| &mut c.hash)
            .about("SHA-512 of the file in hexadecimal; an upload sets it."),
        Field::number("size", |c: &Self| &c.size, |c| &mut c.size)
            .within(i64::MIN, i64::MAX, 1)
            .about("Size of the file in bytes; an upload sets it."),
        Field::text("anon3", 45, |c: &Self| &c.anon3, |c| &mut c.anon3).about("Free for scripts."),
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
    const NAMED: bool = true;

    id_in_field!();

    fn name(&self) -> &str {
        &self.name
    }

    fn uniques(&self) -> Vec<Unique> {
        vec![Unique::name(&self.name)]
    }
}
