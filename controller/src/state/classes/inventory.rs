//! Hardware of a host, as it reported it.

use crate::state::class::{Clash, Class, Computed, Shape, Unique, id_in_field};
use crate::state::classes::host::points_at_host;
use crate::state::field::{Field, field};
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
        field!(reference, "hostID", host)
            .required()
            .about("The host."),
        field!(text, "primaryUser", 50, primary_user).about("Person who mostly uses the machine."),
        field!(text, "other1", 50, other1).about("Free text."),
        field!(text, "other2", 50, other2).about("Free text."),
        field!(time, "createdTime", created_time).about("When it was first written."),
        field!(time, "deleteDate", delete_date).about("When the machine was given up."),
        field!(text, "sysman", 250, sysman).about("Manufacturer of the machine."),
        field!(text, "sysproduct", 250, sysproduct).about("Product name of the machine."),
        field!(text, "sysversion", 250, sysversion).about("Version of the machine."),
        field!(text, "sysserial", 250, sysserial).about("Serial number of the machine."),
        field!(text, "sysuuid", 255, sysuuid).about("UUID of the machine."),
        field!(text, "systype", 250, systype).about("Kind of machine, such as desktop."),
        field!(text, "biosversion", 250, biosversion).about("Version of its firmware."),
        field!(text, "biosvendor", 250, biosvendor).about("Maker of its firmware."),
        field!(text, "biosdate", 250, biosdate)
            .about("Date of its firmware, as the firmware writes it."),
        field!(text, "mbman", 250, mbman).about("Manufacturer of the main board."),
        field!(text, "mbproductname", 250, mbproductname).about("Product name of the main board."),
        field!(text, "mbversion", 250, mbversion).about("Version of the main board."),
        field!(text, "mbserial", 250, mbserial).about("Serial number of the main board."),
        field!(text, "mbasset", 250, mbasset).about("Asset tag of the main board."),
        field!(text, "cpuman", 250, cpuman).about("Manufacturer of the processor."),
        field!(text, "cpuversion", 250, cpuversion).about("Name of the processor."),
        field!(text, "cpucurrent", 250, cpucurrent).about("Speed of the processor, with its unit."),
        field!(text, "cpumax", 250, cpumax).about("Highest speed of the processor, with its unit."),
        field!(text, "mem", 250, mem)
            .about("Memory as the kernel reports it: a line with a number of KiB."),
        field!(text, "hdmodel", 250, hdmodel).about("Model of the disk."),
        field!(text, "hdserial", 250, hdserial).about("Serial number of the disk."),
        field!(text, "hdfirmware", 250, hdfirmware).about("Firmware of the disk."),
        field!(text, "caseman", 250, caseman).about("Manufacturer of the case."),
        field!(text, "casever", 250, casever).about("Version of the case."),
        field!(text, "caseserial", 250, caseserial).about("Serial number of the case."),
        field!(text, "caseasset", 250, caseasset).about("Asset tag of the case."),
    ];
    const COMPUTED: &'static [Computed] = &[Computed {
        name: "memory",
        shape: Shape::Text,
        about: "Memory for people, such as 15.55 GiB.",
    }];
    const INDEXES: usize = 1;

    id_in_field!();
    points_at_host!();

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
