//! Hardware of a host, as it reported it.

use crate::state::class::{Clash, Class, Computed, Shape, Unique, id_in_field};
use crate::state::field::Field;
use crate::state::value::FogTime;

/// Hardware of a host, as it reported it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Inventory {
    pub id: u32,
    pub host: u32,
    pub primary_user: String,
    pub other1: String,
    pub other2: String,
    pub created_time: FogTime,
    pub delete_date: FogTime,
    pub sysman: String,
    pub sysproduct: String,
    pub sysversion: String,
    pub sysserial: String,
    pub sysuuid: String,
    pub systype: String,
    pub biosversion: String,
    pub biosvendor: String,
    pub biosdate: String,
    pub mbman: String,
    pub mbproductname: String,
    pub mbversion: String,
    pub mbserial: String,
    pub mbasset: String,
    pub cpuman: String,
    pub cpuversion: String,
    pub cpucurrent: String,
    pub cpumax: String,
    pub mem: String,
    pub hdmodel: String,
    pub hdserial: String,
    pub hdfirmware: String,
    pub caseman: String,
    pub casever: String,
    pub caseserial: String,
    pub caseasset: String,
}

impl Inventory {
    /// Index by host, which has one row at most.
    pub const BY_HOST: usize = 0;
}

impl Class for Inventory {
    const NAME: &'static str = "inventory";
    const ABOUT: &'static str = "What is known of a host's hardware.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the entry."),
        Field::reference("hostID", |c: &Self| c.host, |c, id| c.host = id)
            .required()
            .about("The host."),
        Field::text(
            "primaryUser",
            50,
            |c: &Self| &c.primary_user,
            |c| &mut c.primary_user,
        )
        .about("Person who mostly uses the machine."),
        Field::text("other1", 50, |c: &Self| &c.other1, |c| &mut c.other1).about("Free text."),
        Field::text("other2", 50, |c: &Self| &c.other2, |c| &mut c.other2).about("Free text."),
        Field::time(
            "createdTime",
            |c: &Self| &c.created_time,
            |c| &mut c.created_time,
        )
        .about("When it was first written."),
        Field::time(
            "deleteDate",
            |c: &Self| &c.delete_date,
            |c| &mut c.delete_date,
        )
        .about("When the machine was given up."),
        Field::text("sysman", 250, |c: &Self| &c.sysman, |c| &mut c.sysman)
            .about("Manufacturer of the machine."),
        Field::text(
            "sysproduct",
            250,
            |c: &Self| &c.sysproduct,
            |c| &mut c.sysproduct,
        )
        .about("Product name of the machine."),
        Field::text(
            "sysversion",
            250,
            |c: &Self| &c.sysversion,
            |c| &mut c.sysversion,
        )
        .about("Version of the machine."),
        Field::text(
            "sysserial",
            250,
            |c: &Self| &c.sysserial,
            |c| &mut c.sysserial,
        )
        .about("Serial number of the machine."),
        Field::text("sysuuid", 255, |c: &Self| &c.sysuuid, |c| &mut c.sysuuid)
            .about("UUID of the machine."),
        Field::text("systype", 250, |c: &Self| &c.systype, |c| &mut c.systype)
            .about("Kind of machine, such as desktop."),
        Field::text(
            "biosversion",
            250,
            |c: &Self| &c.biosversion,
            |c| &mut c.biosversion,
        )
        .about("Version of its firmware."),
        Field::text(
            "biosvendor",
            250,
            |c: &Self| &c.biosvendor,
            |c| &mut c.biosvendor,
        )
        .about("Maker of its firmware."),
        Field::text("biosdate", 250, |c: &Self| &c.biosdate, |c| &mut c.biosdate)
            .about("Date of its firmware, as the firmware writes it."),
        Field::text("mbman", 250, |c: &Self| &c.mbman, |c| &mut c.mbman)
            .about("Manufacturer of the main board."),
        Field::text(
            "mbproductname",
            250,
            |c: &Self| &c.mbproductname,
            |c| &mut c.mbproductname,
        )
        .about("Product name of the main board."),
        Field::text(
            "mbversion",
            250,
            |c: &Self| &c.mbversion,
            |c| &mut c.mbversion,
        )
        .about("Version of the main board."),
        Field::text("mbserial", 250, |c: &Self| &c.mbserial, |c| &mut c.mbserial)
            .about("Serial number of the main board."),
        Field::text("mbasset", 250, |c: &Self| &c.mbasset, |c| &mut c.mbasset)
            .about("Asset tag of the main board."),
        Field::text("cpuman", 250, |c: &Self| &c.cpuman, |c| &mut c.cpuman)
            .about("Manufacturer of the processor."),
        Field::text(
            "cpuversion",
            250,
            |c: &Self| &c.cpuversion,
            |c| &mut c.cpuversion,
        )
        .about("Name of the processor."),
        Field::text(
            "cpucurrent",
            250,
            |c: &Self| &c.cpucurrent,
            |c| &mut c.cpucurrent,
        )
        .about("Speed of the processor, with its unit."),
        Field::text("cpumax", 250, |c: &Self| &c.cpumax, |c| &mut c.cpumax)
            .about("Highest speed of the processor, with its unit."),
        Field::text("mem", 250, |c: &Self| &c.mem, |c| &mut c.mem)
            .about("Memory as the kernel reports it: a line with a number of KiB."),
        Field::text("hdmodel", 250, |c: &Self| &c.hdmodel, |c| &mut c.hdmodel)
            .about("Model of the disk."),
        Field::text("hdserial", 250, |c: &Self| &c.hdserial, |c| &mut c.hdserial)
            .about("Serial number of the disk."),
        Field::text(
            "hdfirmware",
            250,
            |c: &Self| &c.hdfirmware,
            |c| &mut c.hdfirmware,
        )
        .about("Firmware of the disk."),
        Field::text("caseman", 250, |c: &Self| &c.caseman, |c| &mut c.caseman)
            .about("Manufacturer of the case."),
        Field::text("casever", 250, |c: &Self| &c.casever, |c| &mut c.casever)
            .about("Version of the case."),
        Field::text(
            "caseserial",
            250,
            |c: &Self| &c.caseserial,
            |c| &mut c.caseserial,
        )
        .about("Serial number of the case."),
        Field::text(
            "caseasset",
            250,
            |c: &Self| &c.caseasset,
            |c| &mut c.caseasset,
        )
        .about("Asset tag of the case."),
    ];
    const COMPUTED: &'static [Computed] = &[Computed {
        name: "memory",
        shape: Shape::Text,
        about: "Memory for people, such as 15.55 GiB.",
    }];
    const INDEXES: usize = 1;

    id_in_field!();

    fn uniques(&self) -> Vec<Unique> {
        vec![Unique {
            field: "hostID",
            value: self.host.to_string(),
            clash: Clash::Merge,
        }]
    }

    fn index_key(&self, _number: usize) -> Option<u64> {
        Some(self.host.into())
    }
}
