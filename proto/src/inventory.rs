//! The hardware of a machine by the names of FOG's inventory.

use crate::http::Hardware;

/// Types of cases by their number in the SMBIOS specification (DSP0134, 7.4.1); others show as
/// their number.
const CASES: [(&str, &str); 12] = [
    ("3", "Desktop"),
    ("4", "Low Profile Desktop"),
    ("6", "Mini Tower"),
    ("7", "Tower"),
    ("8", "Portable"),
    ("9", "Laptop"),
    ("10", "Notebook"),
    ("13", "All In One"),
    ("17", "Main Server Chassis"),
    ("23", "Rack Mount Chassis"),
    ("31", "Convertible"),
    ("35", "Mini PC"),
];

impl Hardware {
    /// FOG's fields and their values; empty when they are not known.
    #[must_use]
    pub fn fog_fields(&self) -> Vec<(&'static str, String)> {
        let Self {
            system,
            bios,
            board,
            chassis,
            cpu,
            disk,
            ..
        } = self;
        let mhz = |number: &str| {
            if number.is_empty() {
                String::new()
            } else {
                format!("{number} MHz")
            }
        };
        let case = CASES
            .iter()
            .find(|(number, _)| *number == self.chassis_type);
        let case = case.map_or(self.chassis_type.as_str(), |(_, name)| name);
        let fields = [
            ("sysman", &system.maker),
            ("sysproduct", &system.model),
            ("sysversion", &system.version),
            ("sysserial", &system.serial),
            ("sysuuid", &self.system_uuid),
            ("biosversion", &bios.version),
            ("biosvendor", &bios.maker),
            ("biosdate", &self.bios_date),
            ("mbman", &board.maker),
            ("mbproductname", &board.model),
            ("mbversion", &board.version),
            ("mbserial", &board.serial),
            ("mbasset", &board.asset),
            ("cpuman", &cpu.maker),
            ("cpuversion", &cpu.model),
            ("hdmodel", &disk.model),
            ("hdserial", &disk.serial),
            ("hdfirmware", &disk.version),
            ("caseman", &chassis.maker),
            ("casever", &chassis.version),
            ("caseserial", &chassis.serial),
            ("caseasset", &chassis.asset),
        ];
        let mut told: Vec<_> = fields
            .into_iter()
            .map(|(name, value)| (name, value.clone()))
            .collect();
        told.push((
            "systype",
            if case.is_empty() {
                String::new()
            } else {
                format!("Type: {case}")
            },
        ));
        told.push(("cpucurrent", mhz(&self.cpu_mhz)));
        told.push(("cpumax", mhz(&self.cpu_most_mhz)));
        told.push((
            "mem",
            match self.memory_kib {
                0 => String::new(),
                kib => format!("MemTotal: {kib} kB"),
            },
        ));
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Part;

    #[test]
    fn numbers_have_their_units_and_cases_their_names() {
        let hardware = Hardware {
            system: Part {
                maker: "Dell Inc.".to_owned(),
                ..Part::default()
            },
            chassis_type: "3".to_owned(),
            cpu_mhz: "3600".to_owned(),
            memory_kib: 1024,
            ..Hardware::default()
        };
        let fields = hardware.fog_fields();
        let value = |name: &str| {
            let found = fields.iter().find(|(found, _)| *found == name);
            found.map(|(_, value)| value.as_str())
        };
        assert_eq!(value("sysman"), Some("Dell Inc."));
        assert_eq!(value("systype"), Some("Type: Desktop"));
        assert_eq!(value("cpucurrent"), Some("3600 MHz"));
        assert_eq!(value("mem"), Some("MemTotal: 1024 kB"));
        assert_eq!(value("cpumax"), Some(""));
        let other = Hardware {
            chassis_type: "36".to_owned(),
            ..Hardware::default()
        };
        let other = other.fog_fields();
        assert!(other.contains(&("systype", "Type: 36".to_owned())));
    }
}
