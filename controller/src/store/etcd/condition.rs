//! How etcd is: its alarms and the size of its database.

use std::time::Duration;

use etcd_client::{AlarmAction, AlarmType};
use foghorn_types::{ByteCount, chain};

use super::EtcdStore;
use super::answer::{FULL, in_time};
use crate::store::{Condition, StoreError};

const WITHIN: Duration = Duration::from_secs(2);

impl EtcdStore {
    pub(super) async fn find_condition(&self) -> Condition {
        let (alarm, size) = tokio::join!(self.alarm(), self.size());
        Condition {
            engine: "etcd",
            place: self.endpoints.join(", "),
            free: None,
            total: None,
            used: size.as_ref().ok().copied(),
            problem: match alarm.and_then(|alarm| size.map(|_| alarm)) {
                Ok(alarm) => alarm.map(str::to_owned),
                Err(error) => Some(chain(&error).to_string()),
            },
        }
    }

    async fn alarm(&self) -> Result<Option<&'static str>, StoreError> {
        let mut maintenance = self.client.maintenance_client();
        let call = maintenance.alarm(AlarmAction::Get, AlarmType::None, None);
        let found = in_time("read the alarms of etcd", WITHIN, call).await?;
        Ok(found.alarms().iter().find_map(|alarm| match alarm.alarm() {
            AlarmType::None => None,
            AlarmType::Nospace => Some(FULL),
            AlarmType::Corrupt => Some(
                "a member of etcd holds other data than the others (alarm CORRUPT): replace it as etcd's documentation says, then run `etcdctl alarm disarm`",
            ),
        }))
    }

    async fn size(&self) -> Result<ByteCount, StoreError> {
        let mut maintenance = self.client.maintenance_client();
        let status = in_time("read the status of etcd", WITHIN, maintenance.status()).await?;
        Ok(ByteCount::from_bytes(
            u64::try_from(status.db_size()).unwrap_or(0),
        ))
    }
}
