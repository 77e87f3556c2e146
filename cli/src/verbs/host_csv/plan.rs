//! What an import has to do, compared with what the server has. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use foghorn_rest_types::fog::{Group, GroupAssociation, Host, Image, Row};
use foghorn_types::{GroupId, HostId, ImageId, MacAddress};
use serde_json::{Map, Value, json};

use super::read::{BadLine, HostLine};

/// What the server has.
pub(super) struct Fleet {
    by_name: HashMap<String, Row<Host>>,
    owners: HashMap<MacAddress, String>,
    images: Vec<(ImageId, String)>,
    groups: HashMap<String, GroupId>,
    members: BTreeSet<(GroupId, HostId)>,
}

impl Fleet {
    pub(super) fn new(
        hosts: Vec<Row<Host>>,
        images: &[Row<Image>],
        groups: &[Row<Group>],
        members: &[Row<GroupAssociation>],
    ) -> Self {
        let owned = hosts.iter().flat_map(|row| {
            let macs = row.view.macs.iter();
            macs.map(|mac| (*mac, row.view.name.clone()))
        });
        Self {
            owners: owned.collect(),
            images: images
                .iter()
                .map(|row| (row.view.id, row.view.name.clone()))
                .collect(),
            groups: groups
                .iter()
                .map(|row| (row.view.name.to_lowercase(), row.view.id))
                .collect(),
            members: members
                .iter()
                .map(|row| (row.view.group, row.view.host))
                .collect(),
            by_name: hosts
                .into_iter()
                .map(|row| (row.view.name.to_lowercase(), row))
                .collect(),
        }
    }

    fn image(&self, name: &str) -> Option<ImageId> {
        let wanted = name.to_lowercase();
        let found = self
            .images
            .iter()
            .find(|(_, name)| name.to_lowercase() == wanted);
        found.map(|(id, _)| *id)
    }

    pub(super) fn group(&self, name: &str) -> Option<GroupId> {
        self.groups.get(&name.to_lowercase()).copied()
    }

    pub(super) fn add_group(&mut self, name: &str, id: GroupId) {
        self.groups.insert(name.to_lowercase(), id);
    }
}

/// How the images of an import are chosen.
#[derive(Clone, Debug, Default)]
pub(super) struct ImageRule {
    /// For every host.
    pub(super) all: Option<ImageId>,
    /// By their numbers where the file was written.
    pub(super) map: HashMap<u32, ImageId>,
    /// The numbers are those of this server.
    pub(super) keep: bool,
}

/// One thing to do.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Job {
    pub(super) line: u64,
    pub(super) name: String,
    pub(super) work: Work,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) enum Work {
    Create {
        body: Map<String, Value>,
    },
    Change {
        host: HostId,
        body: Map<String, Value>,
        macs: Vec<MacAddress>,
        groups: Vec<GroupId>,
        /// Names of what is changed.
        fields: Vec<String>,
    },
}

#[derive(Debug, Default)]
pub(super) struct Plan {
    /// In the order of the file.
    pub(super) jobs: Vec<Job>,
    pub(super) equal: u64,
    pub(super) bad: Vec<BadLine>,
    /// New hosts whose image was left out, because its number means nothing here.
    pub(super) without_image: u64,
}

/// Groups that lines name and that do not exist.
pub(super) fn missing_groups(fleet: &Fleet, hosts: &[HostLine]) -> BTreeMap<String, u64> {
    let mut missing = BTreeMap::new();
    for host in hosts {
        for name in host.groups.iter().flatten() {
            if fleet.group(name).is_none() {
                missing.entry(name.clone()).or_insert(host.line);
            }
        }
    }
    missing
}

/// `may_lack_groups`: groups that do not exist are about to be created.
pub(super) fn plan(
    fleet: &Fleet,
    hosts: &[HostLine],
    rule: &ImageRule,
    may_lack_groups: bool,
) -> Plan {
    let mut plan = Plan::default();
    for host in hosts {
        match job(fleet, host, rule, may_lack_groups, &mut plan.without_image) {
            Ok(Some(job)) => plan.jobs.push(job),
            Ok(None) => plan.equal += 1,
            Err(bad) => plan.bad.push(bad),
        }
    }
    plan
}

fn job(
    fleet: &Fleet,
    host: &HostLine,
    rule: &ImageRule,
    may_lack_groups: bool,
    without_image: &mut u64,
) -> Result<Option<Job>, BadLine> {
    let existing = fleet.by_name.get(&host.name.to_lowercase());
    for mac in &host.macs {
        let owner = fleet.owners.get(mac);
        if let Some(owner) = owner.filter(|owner| owner.to_lowercase() != host.name.to_lowercase())
        {
            let reason = format!("the address {mac} belongs to host {owner}");
            return Err(BadLine::new(host.line, "macs", reason));
        }
    }
    let image = image(fleet, host, rule, existing.is_some(), without_image)?;
    let groups = groups(fleet, host, may_lack_groups)?;
    let fields = fields(host, image);
    let work = match existing {
        None => Some(create(host, fields, &groups)),
        Some(row) => change(fleet, row, host, fields, &groups)?,
    };
    Ok(work.map(|work| Job {
        line: host.line,
        name: host.name.clone(),
        work,
    }))
}

/// The image of a host: `None` when it stays as it is, 0 for none.
fn image(
    fleet: &Fleet,
    host: &HostLine,
    rule: &ImageRule,
    exists: bool,
    without: &mut u64,
) -> Result<Option<u32>, BadLine> {
    if let Some(image) = rule.all {
        return Ok(Some(image.get()));
    }
    if let Some(name) = &host.image {
        if name.is_empty() {
            return Ok(Some(0));
        }
        let found = fleet.image(name).ok_or_else(|| {
            let reason = format!("there is no image {name:?}: create it first, or use --image");
            BadLine::new(host.line, "image", reason)
        })?;
        return Ok(Some(found.get()));
    }
    match host.image_number {
        None | Some(0) => Ok(None),
        Some(number) if rule.map.contains_key(&number) => Ok(Some(rule.map[&number].get())),
        Some(number) if rule.keep => {
            let known = fleet.images.iter().any(|(id, _)| id.get() == number);
            known.then_some(Some(number)).ok_or_else(|| {
                BadLine::new(host.line, "imageID", format!("there is no image {number}"))
            })
        }
        // A host that is there keeps the image that it has.
        Some(_) => {
            *without += u64::from(!exists);
            Ok(None)
        }
    }
}

fn groups(fleet: &Fleet, host: &HostLine, may_lack: bool) -> Result<BTreeSet<GroupId>, BadLine> {
    let mut found = BTreeSet::new();
    for name in host.groups.iter().flatten() {
        match fleet.group(name) {
            Some(group) => drop(found.insert(group)),
            None if may_lack => {}
            None => {
                let reason =
                    format!("there is no group {name:?}: create it first, or use --create-groups");
                return Err(BadLine::new(host.line, "groups", reason));
            }
        }
    }
    Ok(found)
}

/// The plain fields of the API that a line sets.
fn fields(host: &HostLine, image: Option<u32>) -> Map<String, Value> {
    let mut fields = Map::new();
    let texts = [
        ("description", host.description.as_ref()),
        ("kernelDevice", host.disk.as_ref()),
    ];
    let more = host.more.iter().map(|(name, text)| (*name, Some(text)));
    for (name, text) in texts.into_iter().chain(more) {
        if let Some(text) = text {
            fields.insert(name.to_owned(), json!(text));
        }
    }
    if let Some(image) = image {
        fields.insert("imageID".to_owned(), json!(image.to_string()));
    }
    fields
}

fn create(host: &HostLine, mut body: Map<String, Value>, groups: &BTreeSet<GroupId>) -> Work {
    body.retain(|_, value| !is_unset(value));
    body.insert("name".to_owned(), json!(host.name));
    body.insert("macs".to_owned(), json!(host.macs));
    if !groups.is_empty() {
        body.insert("groups".to_owned(), json!(groups));
    }
    Work::Create { body }
}

/// What differs; `None` when nothing does.
fn change(
    fleet: &Fleet,
    row: &Row<Host>,
    host: &HostLine,
    mut body: Map<String, Value>,
    groups: &BTreeSet<GroupId>,
) -> Result<Option<Work>, BadLine> {
    let none = Value::Null;
    body.retain(|name, new| {
        let old = row.raw.get(name).unwrap_or(&none);
        let both_unset = is_unset(old) && is_unset(new);
        !both_unset && text(old) != text(new)
    });
    let has = |mac: &MacAddress| row.view.macs.contains(mac);
    if !host.macs.iter().any(has) {
        let own: Vec<String> = row.view.macs.iter().map(ToString::to_string).collect();
        let reason = format!(
            "host {} exists with other addresses ({}): change them with `foghorn host edit`",
            row.view.name,
            own.join(", ")
        );
        return Err(BadLine::new(host.line, "macs", reason));
    }
    let macs: Vec<MacAddress> = host.macs.iter().filter(|mac| !has(mac)).copied().collect();
    let missing = groups
        .iter()
        .filter(|group| !fleet.members.contains(&(**group, row.view.id)));
    let groups: Vec<GroupId> = missing.copied().collect();
    let mut fields: Vec<String> = body.keys().cloned().collect();
    fields.extend((!macs.is_empty()).then(|| "macs".to_owned()));
    fields.extend((!groups.is_empty()).then(|| "groups".to_owned()));
    Ok((!fields.is_empty()).then_some(Work::Change {
        host: row.view.id,
        body,
        macs,
        groups,
        fields,
    }))
}

/// FOG shows what is not set as nothing, as 0 or as null.
fn is_unset(value: &Value) -> bool {
    matches!(text(value).as_str(), "" | "0")
}

fn text(value: &Value) -> String {
    match value {
        Value::Null | Value::Bool(false) => String::new(),
        Value::Bool(true) => "1".to_owned(),
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use foghorn_rest_types::fog::read_one;

    use super::super::read;
    use super::*;

    fn fleet() -> Fleet {
        let host = |id: &str, name: &str, mac: &str| {
            let body = json!({"id": id, "name": name, "macs": [mac], "imageID": "2",
                "description": "old", "kernelDevice": "", "useAD": "0"});
            read_one::<Host>(body).unwrap()
        };
        let image = json!({"id": "2", "name": "win11", "isEnabled": "1", "protected": "0"});
        let group = json!({"id": "3", "name": "lab", "hostcount": 1});
        let member = json!({"id": "1", "hostID": "1", "groupID": "3"});
        Fleet::new(
            vec![
                host("1", "pc1", "00:11:22:33:44:01"),
                host("2", "pc2", "00:11:22:33:44:02"),
                host("9", "pc9", "00:11:22:33:44:09"),
            ],
            &[read_one(image).unwrap()],
            &[read_one(group).unwrap()],
            &[read_one(member).unwrap()],
        )
    }

    fn planned(text: &str, rule: &ImageRule) -> Plan {
        let file = read::read(text.as_bytes()).unwrap();
        assert_eq!(file.bad, []);
        plan(&fleet(), &file.hosts, rule, false)
    }

    #[test]
    fn lines_are_new_equal_different_or_wrong() {
        let plan = planned(
            "name,macs,description,image,groups\n\
             PC1,00:11:22:33:44:01,old,WIN11,lab\n\
             pc2,00:11:22:33:44:02|00:11:22:33:44:22,new,win11,lab\n\
             pc3,00:11:22:33:44:03,,win11,lab\n\
             pc4,00:11:22:33:44:09,,,\n\
             pc5,00:11:22:33:44:05,,win12,\n\
             pc6,00:11:22:33:44:06,,,attic\n",
            &ImageRule::default(),
        );
        assert_eq!(plan.equal, 1);
        let Work::Change {
            fields,
            macs,
            groups,
            ..
        } = &plan.jobs[0].work
        else {
            panic!("{:?}", plan.jobs)
        };
        assert_eq!(fields, &["description", "macs", "groups"]);
        assert_eq!((macs.len(), groups.len()), (1, 1));
        let Work::Create { body } = &plan.jobs[1].work else {
            panic!("{:?}", plan.jobs)
        };
        assert_eq!(body["imageID"], "2");
        assert_eq!(body["groups"], json!([3]));
        assert!(!body.contains_key("description"));
        let wrong: Vec<(u64, &str)> = plan
            .bad
            .iter()
            .map(|bad| (bad.line, bad.field.as_str()))
            .collect();
        assert_eq!(wrong, [(5, "macs"), (6, "image"), (7, "groups")]);
    }

    #[test]
    fn numbers_of_images_mean_something_only_when_somebody_says_so() {
        let text = "primac,name,imageID\n00:11:22:33:44:03,pc3,7\n";
        let image = |plan: &Plan| match &plan.jobs[0].work {
            Work::Create { body } => body.get("imageID").cloned(),
            other => panic!("{other:?}"),
        };
        let plan = planned(text, &ImageRule::default());
        assert_eq!((image(&plan), plan.without_image), (None, 1));
        let known = "primac,name,imageID\n00:11:22:33:44:01,pc1,7\n";
        let plan = planned(known, &ImageRule::default());
        assert_eq!((plan.equal, plan.without_image), (1, 0));
        let map = HashMap::from([(7, ImageId::new(2).unwrap())]);
        let mapped = ImageRule {
            map,
            ..ImageRule::default()
        };
        assert_eq!(image(&planned(text, &mapped)), Some(json!("2")));
        let keep = ImageRule {
            keep: true,
            ..ImageRule::default()
        };
        assert_eq!(planned(text, &keep).bad[0].field, "imageID");
    }

    #[test]
    fn a_host_is_not_given_the_addresses_of_another_machine() {
        let text = "name,macs\npc1,00:11:22:33:44:99\n";
        let plan = planned(text, &ImageRule::default());
        assert!(plan.jobs.is_empty() && plan.bad[0].reason.contains("other addresses"));
    }
}
