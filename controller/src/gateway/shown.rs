//! `GET /device`: what is known here about the device that asks.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use foghorn_types::Timestamp;
use serde::Serialize;

use super::door::Speaker;
use super::refused::Refused;
use crate::app::devices::factories::user_code;
use crate::app::devices::list::{self, Shown};
use crate::ctx::Ctx;

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Known {
    uuid: String,
    name: String,
    factory: String,
    owner: String,
    created_at: String,
    last_seen: String,
    is_prod: bool,
    group: Option<String>,
    tag: String,
    target_name: String,
    ostree_hash: String,
    docker_apps: Vec<String>,
    current_update: String,
    up_to_date: bool,
    public_key: String,
    network_info: Option<NetworkInfo>,
}

#[derive(Serialize)]
struct NetworkInfo {
    hostname: String,
    mac: String,
    local_ipv4: String,
}

pub(super) async fn get(
    State(ctx): State<Arc<Ctx>>,
    Extension(Speaker(device)): Extension<Speaker>,
) -> Result<Json<Known>, Refused> {
    match list::show(&ctx.state, &ctx.sightings, device.uuid) {
        Some(shown) => Ok(Json(known(shown))),
        // It was deleted since the door.
        None => Err(Refused::new(
            StatusCode::FORBIDDEN,
            format!("device {} was deleted", device.uuid),
        )),
    }
}

fn known(shown: Shown) -> Known {
    let device = &shown.device;
    let running = &device.running;
    Known {
        uuid: device.uuid.to_string(),
        owner: user_code(device.owner),
        created_at: time(device.meta.created_at),
        last_seen: shown.last_seen.map(time).unwrap_or_default(),
        is_prod: device.is_prod,
        group: shown.group.map(|group| group.name.clone()),
        tag: running.tag.clone(),
        target_name: running.target.clone(),
        ostree_hash: running.hash.clone(),
        docker_apps: running.apps.clone(),
        current_update: device.update.clone().unwrap_or_default(),
        up_to_date: shown.is_up_to_date,
        public_key: device.public_key.clone(),
        network_info: device.network.as_ref().map(|network| NetworkInfo {
            hostname: network.hostname.clone(),
            mac: network.mac.clone(),
            local_ipv4: network.local_ipv4.clone(),
        }),
        name: shown.name,
        factory: shown.factory,
    }
}

/// In RFC 3339 with an offset, as the dialect writes times of devices.
fn time(time: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(time.as_millis())
        .unwrap_or_default()
        .strftime("%Y-%m-%dT%H:%M:%S+00:00")
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_an_offset() {
        let moment = Timestamp::from_millis(1_636_640_270_999);
        assert_eq!(time(moment), "2021-11-11T14:17:50+00:00");
    }
}
