//! Which target a device should run, and how many devices of a factory do. Pure: no tables, no clock.

use std::collections::{BTreeMap, BTreeSet};

use foghorn_types::{ImageId, Timestamp};

/// One version of an image, as devices see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// `<image>-<version>`
    pub name: String,
    /// Of its manifest, in hexadecimal.
    pub hash: String,
    pub image: ImageId,
    pub version: u32,
    pub made: Timestamp,
    pub tags: BTreeSet<String>,
    /// Empty: any hardware.
    pub hardware_ids: BTreeSet<String>,
}

/// What of a device decides.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Follower {
    /// Name of the target that it says it runs.
    pub target: String,
    /// Hash that it says it runs.
    pub hash: String,
    /// The tag that it follows; empty: none.
    pub tag: String,
    /// `None` fits every target.
    pub hardware_id: Option<String>,
    /// The image of its host.
    pub image: Option<ImageId>,
    pub is_prod: bool,
    pub is_online: bool,
    pub group: Option<String>,
}

impl Follower {
    /// Whether it runs this target, by its name or its hash.
    #[must_use]
    pub fn runs(&self, target: &Candidate) -> bool {
        let by_hash = !self.hash.is_empty() && self.hash.eq_ignore_ascii_case(&target.hash);
        by_hash || (!self.target.is_empty() && self.target == target.name)
    }

    fn may_run(&self, target: &Candidate) -> bool {
        let fits = |own: &String| target.hardware_ids.contains(own);
        !self.tag.is_empty()
            && target.tags.contains(&self.tag)
            && (target.hardware_ids.is_empty() || self.hardware_id.as_ref().is_none_or(fits))
    }
}

/// The newest target with the tag of the device that its hardware can run: of the image that it runs,
/// else of the image of its host, else of all. `None` when there is no such target.
#[must_use]
pub fn newest<'t>(device: &Follower, all: &'t [Candidate]) -> Option<&'t Candidate> {
    let runs = all.iter().find(|target| device.runs(target));
    let image = runs.map(|target| target.image).or(device.image);
    let fits = || all.iter().filter(|target| device.may_run(target));
    let of_image = fits()
        .filter(|target| Some(target.image) == image)
        .max_by_key(|target| target.version);
    of_image.or_else(|| fits().max_by_key(|target| (target.made, target.version)))
}

/// Whether there is nothing newer for the device. One that follows no tag, or a tag that no target
/// has, has nothing to catch up with.
#[must_use]
pub fn is_up_to_date(device: &Follower, all: &[Candidate]) -> bool {
    newest(device, all).is_none_or(|target| device.runs(target))
}

/// How many devices there are, and what they run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    pub total: u64,
    pub online: u64,
    /// On the newest target for them.
    pub on_latest: u64,
    /// On a target that does not have their tag, or on none.
    pub on_orphan: u64,
}

/// The devices that follow one tag.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TagCounts {
    pub counts: Counts,
    /// The highest version with the tag; 0: there is none.
    pub latest: u32,
    /// By version; those of orphans too. 0 stands for a version that is not known.
    pub versions: BTreeMap<u32, VersionCounts>,
    /// By the name of the group; empty for devices in none.
    pub groups: BTreeMap<String, Counts>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct VersionCounts {
    pub devices: u64,
    pub is_orphan: bool,
}

/// Devices of a factory by the tag that they follow; empty for those that follow none.
#[must_use]
pub fn count<'d>(
    devices: impl Iterator<Item = &'d Follower>,
    all: &[Candidate],
) -> BTreeMap<String, TagCounts> {
    let mut tags = BTreeMap::<String, TagCounts>::new();
    for device in devices {
        let tag = tags.entry(device.tag.clone()).or_default();
        let runs = all.iter().find(|target| device.runs(target));
        let tagged = runs.filter(|target| target.tags.contains(&device.tag));
        let is_latest = newest(device, all).is_some_and(|target| device.runs(target));
        let version = tag
            .versions
            .entry(runs.map_or(0, |target| target.version))
            .or_default();
        version.devices += 1;
        version.is_orphan |= tagged.is_none();
        let group = tag.groups.entry(device.group.clone().unwrap_or_default());
        for counts in [&mut tag.counts, group.or_default()] {
            counts.total += 1;
            counts.online += u64::from(device.is_online);
            counts.on_latest += u64::from(is_latest);
            counts.on_orphan += u64::from(tagged.is_none());
        }
    }
    for (name, tag) in &mut tags {
        let with_tag = all.iter().filter(|target| target.tags.contains(name));
        tag.latest = with_tag.map(|target| target.version).max().unwrap_or(0);
    }
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(image: u32, version: u32, tags: &[&str], hardware: &[&str]) -> Candidate {
        let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        Candidate {
            name: format!("image{image}-{version}"),
            hash: format!("{image}{version}ab"),
            image: ImageId::new(image).unwrap(),
            version,
            made: Timestamp::from_millis(i64::from(10 * version + image)),
            tags: texts(tags),
            hardware_ids: texts(hardware),
        }
    }

    fn device(runs: &str, tag: &str) -> Follower {
        Follower {
            target: runs.to_owned(),
            tag: tag.to_owned(),
            ..Follower::default()
        }
    }

    #[test]
    fn the_newest_of_the_image_with_the_tag_and_the_hardware_counts() {
        let all = [
            target(1, 1, &["lab"], &[]),
            target(1, 2, &["lab", "next"], &["pc"]),
            target(1, 3, &["lab"], &["arm"]),
            target(2, 9, &["lab"], &[]),
        ];
        let name = |device: &Follower| newest(device, &all).map(|target| target.name.as_str());
        assert_eq!(name(&device("image1-1", "lab")), Some("image1-3"));
        let mut pc = device("image1-1", "lab");
        pc.hardware_id = Some("pc".to_owned());
        assert_eq!(name(&pc), Some("image1-2"));
        assert!(!is_up_to_date(&pc, &all));
        pc.target.clear();
        pc.hash = "12AB".to_owned();
        assert!(is_up_to_date(&pc, &all), "the hash says what it runs");
        assert_eq!(name(&device("", "lab")), Some("image2-9"));
        let of_host = Follower {
            image: ImageId::new(1),
            ..device("", "lab")
        };
        assert_eq!(name(&of_host), Some("image1-3"));
        assert!(!is_up_to_date(&of_host, &all));
        // Nothing of its image has the tag: it is meant to change to another one.
        assert_eq!(name(&device("image2-9", "next")), Some("image1-2"));
        for tag in ["", "unknown"] {
            assert_eq!(name(&device("image1-1", tag)), None);
            assert!(is_up_to_date(&device("image1-1", tag), &all));
        }
    }

    #[test]
    fn devices_are_counted_by_tag_version_and_group() {
        let all = [target(1, 1, &[], &[]), target(1, 2, &["lab"], &[])];
        let mut latest = device("image1-2", "lab");
        latest.is_online = true;
        latest.group = Some("room".to_owned());
        let devices = [
            latest,
            device("image1-1", "lab"),
            device("gone-7", "lab"),
            device("image1-2", ""),
        ];
        let tags = count(devices.iter(), &all);
        let lab = &tags["lab"];
        let expected = Counts {
            total: 3,
            online: 1,
            on_latest: 1,
            on_orphan: 2,
        };
        assert_eq!((&lab.counts, lab.latest), (&expected, 2));
        assert_eq!(lab.groups["room"].on_latest, 1);
        assert_eq!(lab.groups[""].on_orphan, 2);
        let versions: Vec<_> = lab
            .versions
            .iter()
            .map(|(number, version)| (*number, version.devices, version.is_orphan))
            .collect();
        assert_eq!(versions, [(0, 1, true), (1, 1, true), (2, 1, false)]);
        assert_eq!((tags[""].counts.total, tags[""].latest), (1, 0));
    }
}
