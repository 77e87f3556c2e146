//! Hardware of a host, as it reported it.

use crate::state::class::Class;
use crate::state::class::{Clash, Row, Unique};
use crate::state::field::Field;
use crate::state::json::JsonObject;
use crate::state::scene::Scene;
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

/// Size of the memory for people, from a line such as `MemTotal: 16303424 kB`.
fn memory(line: &str) -> String {
    let kib: f64 = line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or(0.0);
    let mut size = kib * 1024.0;
    let mut unit = 0;
    const UNITS: [&str; 6] = ["i", "Ki", "Mi", "Gi", "Ti", "Pi"];
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.2} {}B", UNITS[unit])
}

impl Class for Inventory {
    const NAME: &'static str = "inventory";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c| c.id),
        Field::reference("hostID", |c: &Self| c.host, |c, id| c.host = id).required(),
        Field::text("primaryUser", 50, |c| &c.primary_user, |c| &mut c.primary_user),
        Field::text("other1", 50, |c| &c.other1, |c| &mut c.other1),
        Field::text("other2", 50, |c| &c.other2, |c| &mut c.other2),
        Field::time("createdTime", |c| &c.created_time, |c| &mut c.created_time),
        Field::time("deleteDate", |c| &c.delete_date, |c| &mut c.delete_date),
        Field::text("sysman", 250, |c| &c.sysman, |c| &mut c.sysman),
        Field::text("sysproduct", 250, |c| &c.sysproduct, |c| &mut c.sysproduct),
        Field::text("sysversion", 250, |c| &c.sysversion, |c| &mut c.sysversion),
        Field::text("sysserial", 250, |c| &c.sysserial, |c| &mut c.sysserial),
        Field::text("sysuuid", 255, |c| &c.sysuuid, |c| &mut c.sysuuid),
        Field::text("systype", 250, |c| &c.systype, |c| &mut c.systype),
        Field::text("biosversion", 250, |c| &c.biosversion, |c| &mut c.biosversion),
        Field::text("biosvendor", 250, |c| &c.biosvendor, |c| &mut c.biosvendor),
        Field::text("biosdate", 250, |c| &c.biosdate, |c| &mut c.biosdate),
        Field::text("mbman", 250, |c| &c.mbman, |c| &mut c.mbman),
        Field::text("mbproductname", 250, |c| &c.mbproductname, |c| &mut c.mbproductname),
        Field::text("mbversion", 250, |c| &c.mbversion, |c| &mut c.mbversion),
        Field::text("mbserial", 250, |c| &c.mbserial, |c| &mut c.mbserial),
        Field::text("mbasset", 250, |c| &c.mbasset, |c| &mut c.mbasset),
        Field::text("cpuman", 250, |c| &c.cpuman, |c| &mut c.cpuman),
        Field::text("cpuversion", 250, |c| &c.cpuversion, |c| &mut c.cpuversion),
        Field::text("cpucurrent", 250, |c| &c.cpucurrent, |c| &mut c.cpucurrent),
        Field::text("cpumax", 250, |c| &c.cpumax, |c| &mut c.cpumax),
        Field::text("mem", 250, |c| &c.mem, |c| &mut c.mem),
        Field::text("hdmodel", 250, |c| &c.hdmodel, |c| &mut c.hdmodel),
        Field::text("hdserial", 250, |c| &c.hdserial, |c| &mut c.hdserial),
        Field::text("hdfirmware", 250, |c| &c.hdfirmware, |c| &mut c.hdfirmware),
        Field::text("caseman", 250, |c| &c.caseman, |c| &mut c.caseman),
        Field::text("casever", 250, |c| &c.casever, |c| &mut c.casever),
        Field::text("caseserial", 250, |c| &c.caseserial, |c| &mut c.caseserial),
        Field::text("caseasset", 250, |c| &c.caseasset, |c| &mut c.caseasset),
    ];
    const INDEXES: usize = 1;

    fn id(&self) -> u32 {
        self.id
    }

    fn set_id(&mut self, id: u32) {
        self.id = id;
    }

    fn uniques(&self) -> Vec<Unique> {
        vec![Unique { field: "hostID", value: self.host.to_string(), clash: Clash::Merge }]
    }

    fn index_key(&self, _number: usize) -> Option<u64> {
        Some(self.host.into())
    }

    fn extras(row: Option<&Row<Self>>, _scene: &Scene<'_>, out: &mut JsonObject<'_>) {
        out.text("memory", &memory(row.map_or("", |row| &row.mem)));
    }
}
