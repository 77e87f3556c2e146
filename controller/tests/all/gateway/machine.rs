//! A machine with the key and certificate of a device.

use std::sync::Arc;

use foghorn_controller::state::machines::device::Device;
use foghorn_controller::trust::{DeviceName, DeviceRequest};
use foghorn_types::MachineUuid;
use serde_json::Value;
use ureq::http::HeaderMap;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use crate::devices::factory;
use crate::native::fleet::{Fleet, Keys, PATIENCE};

pub(super) struct Machine {
    pub(super) uuid: MachineUuid,
    pub(super) chain_pem: String,
    pub(super) key_pem: String,
    ca_pem: String,
    base: String,
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&self.body).into_owned()))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }
}

/// The factory that every installation begins with, by name.
pub(super) fn factory_name(fleet: &Fleet) -> String {
    let state = &fleet.controller.ctx().state;
    state.read(|tables| foghorn_controller::app::devices::factories::name_of(tables, factory()))
}

impl Machine {
    /// Has a certificate, and nobody has heard of it yet.
    pub(super) fn new(fleet: &Fleet, number: u128) -> Self {
        Self::with(fleet, number, &factory_name(fleet))
    }

    pub(super) fn with(fleet: &Fleet, number: u128, factory: &str) -> Self {
        let keys = Keys::new();
        let request = DeviceRequest::read(&keys.csr_pem).unwrap();
        let name = DeviceName {
            uuid: MachineUuid::from_bits(number),
            factory: factory.to_owned(),
            is_prod: false,
        };
        let issued = fleet.controller.ctx().trust.issue_device(&name, &request);
        Self::holding(fleet, name.uuid, &issued.unwrap().chain_pem, &keys.key_pem)
    }

    /// With whatever certificate.
    pub(super) fn holding(fleet: &Fleet, uuid: MachineUuid, chain: &str, key: &str) -> Self {
        let gateway = fleet.controller.gateway_here().unwrap();
        Self {
            uuid,
            chain_pem: chain.to_owned(),
            key_pem: key.to_owned(),
            ca_pem: fleet.controller.ca_pem().to_owned(),
            base: format!("https://{gateway}"),
        }
    }

    /// Fails when there is no connection.
    pub(super) async fn try_call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Result<Answer, ureq::Error> {
        let root = Certificate::from_pem(self.ca_pem.as_bytes()).unwrap();
        let mut tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[root]));
        if !self.key_pem.is_empty() {
            let own = Certificate::from_pem(self.chain_pem.as_bytes()).unwrap();
            let key = PrivateKey::from_pem(self.key_pem.as_bytes()).unwrap();
            tls = tls.client_cert(Some(ClientCert::new_with_certs(&[own], key)));
        }
        let config = ureq::config::Config::builder()
            .tls_config(tls.build())
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .timeout_global(Some(PATIENCE * 2))
            .build();
        let url = if path.starts_with("https://") {
            path.to_owned()
        } else {
            format!("{}{path}", self.base)
        };
        let mut request = ureq::http::Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).unwrap();
        tokio::task::spawn_blocking(move || {
            let mut response = ureq::Agent::new_with_config(config).run(request)?;
            Ok(Answer {
                status: response.status().as_u16(),
                headers: response.headers().clone(),
                body: response.body_mut().read_to_vec()?,
            })
        })
        .await
        .unwrap()
    }

    pub(super) async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Answer {
        let answer = self.try_call(method, path, headers, body).await;
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], "").await
    }

    /// The status of a request with this body.
    pub(super) async fn send(&self, method: &str, path: &str, body: impl Into<Vec<u8>>) -> u16 {
        self.call(method, path, &[], body).await.status
    }

    /// Its record.
    pub(super) fn stored(&self, fleet: &Fleet) -> Option<Arc<Device>> {
        let state = &fleet.controller.ctx().state;
        state.read(|tables| tables.devices().get(&self.uuid).cloned())
    }
}
