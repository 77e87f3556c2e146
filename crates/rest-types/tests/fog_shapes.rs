//! FOG's shapes, as a server of that kind sends them: every stored field a string.

use foghorn_rest_types::fog::{self, FogObject as _};
use serde_json::json;

#[test]
fn a_host_is_read_with_typed_ids() {
    let row = fog::read_one::<fog::Host>(json!({
        "id": "7", "name": "lab-pc07", "description": "", "imageID": "0", "imagename": "",
            "kernelDevice": "serial:S1",
        "deployed": "0000-00-00 00:00:00", "macs": ["AA-BB-CC-00-00-07"], "image": {"id": "",
            "name": ""}, "useAD": ""
    }))
    .unwrap();
    assert_eq!(
        (
            row.view.id.get(),
            row.view.image,
            row.view.deployed.as_deref()
        ),
        (7, None, None)
    );
    assert_eq!(row.view.disk_rule.as_deref(), Some("serial:S1"));
    assert_eq!(row.view.macs[0].to_string(), "aa:bb:cc:00:00:07");
    assert_eq!(
        row.raw["useAD"], "",
        "the object stays whole beside the view"
    );
}

#[test]
fn a_list_is_taken_out_of_its_envelope() {
    let body = json!({"count": 2, "images": [
        {"id": "1", "name": "win11", "isEnabled": "1", "protected": "0",
            "deployed": "2026-11-21 22:18:28"},
        {"id": 2, "name": "debian", "isEnabled": "", "protected": true},
    ]});
    let images = fog::read_list::<fog::Image>(body).unwrap();
    let seen: Vec<_> = images
        .iter()
        .map(|row| {
            (
                row.view.number(),
                row.view.name(),
                row.view.enabled,
                row.view.protected,
            )
        })
        .collect();
    assert_eq!(
        seen,
        [(1, "win11", true, false), (2, "debian", false, true)]
    );
    assert!(
        fog::read_list::<fog::Host>(json!({"count": 0})).is_err(),
        "no list is not an empty list"
    );
}

#[test]
fn a_task_has_a_state_we_know_or_is_refused() {
    let task = |state: &str| {
        json!({"id": "6", "name": "deploy - pc", "typeID": "1", "hostID": "3", "imageID": "1",
            "stateID": state,
               "createdTime": "2026-11-21 22:35:54", "percent": "", "host": {"id": "3",
                   "name": "pc"}, "type": {"name": "Deploy"}})
    };
    let read = fog::read_one::<fog::Task>(task("3")).unwrap().view;
    assert!(read.state.is_active() && read.is_imaging());
    assert_eq!(
        (read.host_name(), read.type_name()),
        (Some("pc"), Some("Deploy"))
    );
    assert!(
        !fog::read_one::<fog::Task>(task("4"))
            .unwrap()
            .view
            .state
            .is_active()
    );
    assert!(fog::read_one::<fog::Task>(task("9")).is_err());
}

#[test]
fn an_edit_sends_only_what_changes() {
    let body = fog::HostBody {
        image: foghorn_types::ImageId::new(4),
        ..Default::default()
    };
    assert_eq!(serde_json::to_value(&body).unwrap(), json!({"imageID": 4}));
    let image = serde_json::to_value(fog::ImageBody {
        enabled: Some(false),
        ..Default::default()
    })
    .unwrap();
    assert_eq!(image, json!({"isEnabled": "0"}));
}

#[test]
fn a_negative_id_is_refused() {
    assert!(fog::read_one::<fog::Group>(json!({"id": "-1", "name": "g", "hostcount": 0})).is_err());
}
