//! What the test has in the installation: an image and hosts, with names that nobody else uses.

use std::fs::File;
use std::io::Read as _;
use std::time::{Duration, Instant};

use foghorn_rest_types::fog::{FogObject, Host, HostBody, Image, ImageBody, Row};
use foghorn_types::{MacAddress, TaskId};
use serde_json::Value;

use crate::api::{Api, ApiError};
use crate::exit::{Exit, Failure};

pub(super) struct Objects<'a> {
    api: &'a Api,
    /// Random; part of all names and addresses.
    mark: [u8; 4],
    image: Option<Row<Image>>,
    hosts: Vec<Row<Host>>,
    tasks: Vec<TaskId>,
}

impl<'a> Objects<'a> {
    pub(super) fn new(api: &'a Api) -> std::io::Result<Self> {
        let mut mark = [0; 4];
        File::open("/dev/urandom")?.read_exact(&mut mark)?;
        Ok(Self {
            api,
            mark,
            image: None,
            hosts: Vec::new(),
            tasks: Vec::new(),
        })
    }

    fn mark(&self) -> String {
        format!("{:08x}", u32::from_be_bytes(self.mark))
    }

    pub(super) fn image(&mut self) -> Result<Row<Image>, Failure> {
        let body = ImageBody {
            description: Some("made by foghorn selftest, which removes it".to_owned()),
            ..ImageBody::new(&format!("selftest-{}", self.mark()))
        };
        let image = self.api.create::<Image>(&body)?;
        Ok(self.image.insert(image).clone())
    }

    /// One more host, with an address that no card has.
    pub(super) fn host(&mut self) -> Result<Row<Host>, Failure> {
        let number = self.hosts.len() + 1;
        let [a, b, c, d] = self.mark;
        let mac: MacAddress = format!("06:{a:02x}:{b:02x}:{c:02x}:{d:02x}:{number:02x}")
            .parse()
            .map_err(super::broken)?;
        let body = HostBody {
            // Names of hosts have 15 characters at most.
            name: Some(format!("test-{}-{number}", self.mark())),
            macs: Some(vec![mac]),
            ..HostBody::default()
        };
        let host = self.api.create::<Host>(&body)?;
        self.hosts.push(host.clone());
        Ok(host)
    }

    /// Remembers what was ordered.
    pub(super) fn ordered(&mut self, tasks: &[TaskId]) {
        self.tasks.extend(tasks);
    }

    /// Removes all of it; what cannot be removed is named.
    pub(super) fn remove(self, deadline: Instant) -> Result<(), Failure> {
        for task in &self.tasks {
            let path = format!("/fog/task/{task}/cancel");
            // One that has ended has nothing to cancel, and one that stays keeps its host, which is told.
            let _ = self.api.text("DELETE", &path, None::<&Value>);
        }
        let mut left = Vec::new();
        for host in &self.hosts {
            left.extend(self.delete(host, deadline));
        }
        if let Some(image) = &self.image {
            left.extend(self.delete(image, deadline));
        }
        let (names, mut errors): (Vec<String>, Vec<ApiError>) = left.into_iter().unzip();
        let Some(error) = errors.pop() else {
            return Ok(());
        };
        let what = format!(
            "the test could not remove what it made: {}",
            names.join(", ")
        );
        let failure = Failure::new(Exit::Failed, what).caused_by(error);
        Err(failure.advise("remove them by hand: `foghorn host delete`, `foghorn image delete`"))
    }

    /// A task of a host that has just ended may still be in the way for a moment, and a controller that
    /// restarts is back within seconds.
    fn delete<T: FogObject>(&self, row: &Row<T>, deadline: Instant) -> Option<(String, ApiError)> {
        loop {
            match self.api.delete::<T>(row.view.number()) {
                Ok(()) | Err(ApiError::NotFound(_)) => return None,
                Err(error) if Instant::now() > deadline => {
                    return Some((format!("{} {}", T::NOUN, row.view.name()), error));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(500)),
            }
        }
    }
}
