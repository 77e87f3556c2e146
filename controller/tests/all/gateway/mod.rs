//! Devices at their gateway: real TLS, with certificates of the controller's own authority.

mod configs;
mod deploys;
mod enrolment;
mod host_work;
mod host_work_files;
mod host_work_refused;
mod machine;
mod natively;
mod queues;
mod registration;
mod reports;
mod runs;
mod strangers;

use foghorn_controller::Config;

use crate::engine::Kind;
use crate::native::fleet::Fleet;

/// A controller with a gateway.
async fn fleet(kind: Kind) -> Fleet {
    Fleet::on(kind, with_gateway).await
}

fn with_gateway(config: &mut Config) {
    config.dialects.foundries = true;
    config.dialects.gateway = Some(([127, 0, 0, 1], 0).into());
}
