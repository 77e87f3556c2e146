//! What this machine is made of, from `/sys` and `/proc`. Whatever cannot be read stays empty:
//! nothing depends on it.

use std::fs;
use std::path::Path;

use foghorn_proto::http::{Hardware, Part};

use crate::disk::linux;

/// Longer texts are firmware gone wrong.
const LONGEST: usize = 250;
/// What some makers write instead of nothing.
const FILLERS: [&str; 6] = [
    "to be filled by o.e.m.",
    "default string",
    "not specified",
    "none",
    "system serial number",
    "0123456789",
];

/// Reads the files under `root`, which is `/` outside of tests.
#[must_use]
pub fn read(root: &Path) -> Hardware {
    let dmi = |name: &str| clean(&text(&root.join("sys/class/dmi/id").join(name)));
    let part = |of: &str, model: &str| Part {
        maker: dmi(&format!("{of}_vendor")),
        model: dmi(&format!("{of}_{model}")),
        version: dmi(&format!("{of}_version")),
        serial: dmi(&format!("{of}_serial")),
        asset: dmi(&format!("{of}_asset_tag")),
    };
    let cpus = text(&root.join("proc/cpuinfo"));
    let cpu_mhz = |khz: &str| {
        text(&root.join("sys/devices/system/cpu/cpu0/cpufreq").join(khz))
            .trim()
            .parse::<u64>()
    };
    let mhz = |name: &str| {
        cpu_mhz(name)
            .map(|khz| (khz / 1000).to_string())
            .unwrap_or_default()
    };
    let present = line_of(&cpus, "cpu MHz");
    Hardware {
        // The system's maker has a file name of its own.
        system: Part {
            maker: dmi("sys_vendor"),
            ..part("product", "name")
        },
        chassis_type: dmi("chassis_type"),
        system_uuid: dmi("product_uuid"),
        bios: part("bios", "release"),
        bios_date: dmi("bios_date"),
        board: part("board", "name"),
        chassis: part("chassis", "sku"),
        cpu: Part {
            maker: line_of(&cpus, "vendor_id"),
            model: line_of(&cpus, "model name"),
            ..Part::default()
        },
        cpu_mhz: present.split('.').next().unwrap_or_default().to_owned(),
        cpu_most_mhz: mhz("cpuinfo_max_freq"),
        memory_kib: memory(&text(&root.join("proc/meminfo"))),
        disk: disk(root),
    }
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// One line, no fillers, bounded.
fn clean(text: &str) -> String {
    let text = text.trim();
    let is_filler = FILLERS.contains(&text.to_lowercase().as_str());
    if is_filler {
        String::new()
    } else {
        text.chars()
            .filter(|c| !c.is_control())
            .take(LONGEST)
            .collect()
    }
}

/// The first `name : value` of a file of `/proc`.
fn line_of(text: &str, name: &str) -> String {
    let value = text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then_some(value)
    });
    clean(value.unwrap_or_default())
}

/// KiB of `MemTotal`.
fn memory(text: &str) -> u64 {
    line_of(text, "MemTotal")
        .split_whitespace()
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

/// The first drive by name.
fn disk(root: &Path) -> Part {
    let Some(drive) = linux::first_drive(&root.join("sys/block")) else {
        return Part::default();
    };
    let firmware = |name: &str| clean(&text(&drive.sys.join("device").join(name)));
    let version = ["firmware_rev", "rev"]
        .into_iter()
        .map(firmware)
        .find(|text| !text.is_empty());
    Part {
        model: clean(&drive.model),
        serial: clean(&drive.serial),
        version: version.unwrap_or_default(),
        ..Part::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        root
    }

    #[test]
    fn a_machine_is_described_by_its_firmware_and_kernel() {
        let root = machine(&[
            ("sys/class/dmi/id/sys_vendor", "Dell Inc.\n"),
            ("sys/class/dmi/id/product_name", "OptiPlex 7050\n"),
            ("sys/class/dmi/id/product_serial", "ABC1234\n"),
            ("sys/class/dmi/id/chassis_type", "3\n"),
            ("sys/class/dmi/id/bios_vendor", "Dell Inc.\n"),
            ("sys/class/dmi/id/bios_version", "1.15.1\n"),
            ("sys/class/dmi/id/board_serial", "To Be Filled By O.E.M.\n"),
            (
                "proc/cpuinfo",
                "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: i7-7700\ncpu MHz\t\t: 3600.123\n",
            ),
            (
                "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq",
                "4200000\n",
            ),
            (
                "proc/meminfo",
                "MemTotal:       16303424 kB\nMemFree: 1 kB\n",
            ),
            ("sys/block/loop0/size", "100\n"),
            ("sys/block/sda/size", "1000\n"),
            ("sys/block/sda/device/model", "Samsung SSD 850\n"),
            ("sys/block/sda/device/serial", "S21N\n"),
            ("sys/block/sda/device/rev", "EMT0\n"),
        ]);
        let found = read(root.path());
        assert_eq!(
            (found.system.maker.as_str(), found.system.model.as_str()),
            ("Dell Inc.", "OptiPlex 7050")
        );
        assert_eq!(
            (found.system.serial.as_str(), found.chassis_type.as_str()),
            ("ABC1234", "3")
        );
        assert_eq!(
            (found.bios.maker.as_str(), found.bios.version.as_str()),
            ("Dell Inc.", "1.15.1")
        );
        assert_eq!(found.board.serial, "", "a filler says nothing");
        assert_eq!(
            (
                found.cpu.model.as_str(),
                found.cpu_mhz.as_str(),
                found.cpu_most_mhz.as_str()
            ),
            ("i7-7700", "3600", "4200")
        );
        assert_eq!(found.memory_kib, 16_303_424);
        assert_eq!(
            (
                found.disk.model.as_str(),
                found.disk.serial.as_str(),
                found.disk.version.as_str()
            ),
            ("Samsung SSD 850", "S21N", "EMT0")
        );
    }

    #[test]
    fn a_machine_that_says_nothing_is_described_by_nothing() {
        assert_eq!(read(machine(&[]).path()), Hardware::default());
    }
}
