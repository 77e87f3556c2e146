//! Two controllers on one store, what pairs are made of, and what was deleted when.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foghorn_controller::state::class::Class;
use foghorn_controller::state::classes::Os;
use foghorn_controller::state::{Refusal, Tables, key};
use foghorn_controller::store::{Change, Revision, Store};
use foghorn_controller::trust::Trust;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::engine::{Engine, Kind};
use crate::fog_rules::contention::settle;
use crate::fog_rules::id;
use crate::fog_support::Server;

/// One half of a pair; whether it was accepted.
pub(super) type Act = BoxFuture<'static, bool>;
type Holds = Box<dyn Fn(&After<'_>) -> Result<(), String> + Send + Sync>;

/// Two acts at once, and what must hold afterwards, whoever came first.
pub(super) struct Pair {
    pub(super) acts: [Act; 2],
    pub(super) holds: Holds,
}

impl Pair {
    pub(super) fn new(
        one: Act,
        other: Act,
        holds: impl Fn(&After<'_>) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            acts: [one, other],
            holds: Box::new(holds),
        }
    }
}

/// What there is when both acts of a pair have ended.
pub(super) struct After<'a> {
    pub(super) tables: &'a Tables,
    pub(super) accepted: [bool; 2],
    deleted: &'a HashMap<String, Revision>,
}

impl After<'_> {
    /// Exactly one act was accepted.
    pub(super) fn one(&self) -> Result<(), String> {
        match self.accepted {
            [true, false] | [false, true] => Ok(()),
            both => Err(format!("accepted: {both:?}")),
        }
    }

    /// No row of `C` that was there before the object was deleted still points at it. (A FOG client
    /// may point at what does not exist.)
    pub(super) fn let_go<C: Class>(
        &self,
        (class, owner): (&str, u32),
        points: impl Fn(&C) -> bool,
    ) -> Result<(), String> {
        let Some(deleted) = self.deleted.get(&key::object(class, owner)) else {
            return Ok(());
        };
        let table = self.tables.of::<C>();
        let left = table
            .iter()
            .find(|row| points(row) && row.modified() < *deleted);
        left.map_or(Ok(()), |row| {
            let (class_of, id) = (C::NAME, row.id());
            Err(format!("{class_of} {id} still points at {class} {owner}"))
        })
    }
}

/// See the module.
pub(super) struct Fleet {
    pub(super) servers: Vec<Arc<Server>>,
    /// An image with content.
    pub(super) image: u32,
    /// Folders with a certificate authority each.
    pub(super) folders: [TempDir; 2],
    number: AtomicU32,
    deleted: Arc<Mutex<HashMap<String, Revision>>>,
}

impl Fleet {
    pub(super) async fn start(engine: &Engine) -> Arc<Self> {
        let first = Arc::new(Server::start_on(engine.store()).await);
        let store = match engine.kind {
            Kind::Embedded => engine.store(),
            Kind::Etcd => engine.another_client().await,
        };
        let second = Arc::new(first.beside(store).await);
        let deleted = Arc::<Mutex<HashMap<_, _>>>::default();
        let from = first.state.read_at(|_, revision| revision);
        tokio::spawn(note_deletions(engine.store(), from, deleted.clone()));
        let image = crate::fog_rules::image(&first).await;
        first.give_content(image).await;
        Arc::new(Self {
            servers: vec![first, second],
            image,
            folders: [authority(), authority()],
            number: AtomicU32::new(1),
            deleted,
        })
    }

    /// A number that nothing has yet.
    pub(super) fn fresh(&self) -> u32 {
        self.number.fetch_add(1, Ordering::Relaxed)
    }

    /// A number of an object that does not exist, at which a FOG client may point.
    pub(super) fn nobody(&self) -> u32 {
        900_000 + self.fresh()
    }

    pub(super) fn mac(number: u32) -> String {
        format!("52:54:01:00:{:02x}:{:02x}", number / 256, number % 256)
    }

    /// A request to one of the controllers.
    pub(super) fn ask(&self, server: usize, method: &str, path: &str, body: Value) -> Act {
        let server = self.servers[server].clone();
        let (method, path) = (method.to_owned(), path.to_owned());
        async move { server.call(&method, &path, body).await.status == 200 }.boxed()
    }

    pub(super) fn create(&self, server: usize, class: &str, body: Value) -> Act {
        self.ask(server, "POST", &format!("/fog/{class}/create"), body)
    }

    pub(super) fn edit(&self, server: usize, class: &str, id: u32, body: Value) -> Act {
        self.ask(server, "PUT", &format!("/fog/{class}/{id}/edit"), body)
    }

    pub(super) fn delete(&self, server: usize, class: &str, id: u32) -> Act {
        let path = format!("/fog/{class}/{id}/delete");
        self.ask(server, "DELETE", &path, Value::Null)
    }

    pub(super) fn order(&self, server: usize, host: u32, body: Value) -> Act {
        self.ask(server, "POST", &format!("/fog/host/{host}/task"), body)
    }

    /// Makes an object by the first controller. Making some of a class before a race leaves ids in the
    /// memory of the controller: those who take an id from the store meet there, guard or no guard.
    pub(super) async fn made(&self, class: &str, body: Value) -> u32 {
        let path = format!("/fog/{class}/create");
        let reply = self.servers[0].call("POST", &path, body.clone()).await;
        assert_eq!(reply.status, 200, "{class} {body}: {}", reply.text);
        id(&reply.json())
    }

    /// A host with the image.
    pub(super) async fn host(&self) -> u32 {
        let number = self.fresh();
        self.made(
            "host",
            json!({"name": format!("pc{number}"), "macs": [Self::mac(number)],
                "imageID": self.image}),
        )
        .await
    }

    /// An object that needs a name only.
    pub(super) async fn named(&self, class: &str) -> u32 {
        let number = self.fresh();
        let name = format!("n{number}");
        let body = match class {
            "image" => json!({"name": name, "path": name, "imageTypeID": 1, "osID": 9,
                "isEnabled": 1}),
            "snapin" => json!({"name": name, "file": "x.sh"}),
            "printer" => json!({"name": name, "config": "Local"}),
            "module" => json!({"name": name, "shortName": name}),
            _ => json!({"name": name}),
        };
        self.made(class, body).await
    }

    /// Waits until both controllers, and whoever notes deletions, have seen everything. Sends no
    /// request: some rows take away whoever may send them.
    pub(super) async fn settle(&self) {
        settle(&self.servers).await;
        // The notes are one more reader of the same store: they are as far as a key that they have.
        let state = &self.servers[0].state;
        let name = format!("settle{}", self.fresh());
        let os = Os {
            name,
            ..Os::default()
        };
        let mark = state.write(|draft| draft.insert(os.clone())).await.unwrap();
        let row = state
            .read(|tables| tables.of::<Os>().get(mark).cloned())
            .unwrap();
        let deleted = state.write::<_, Refusal>(|draft| {
            draft.delete(&row);
            Ok(())
        });
        deleted.await.unwrap();
        settle(&self.servers).await;
        let mark = key::object(Os::NAME, mark);
        while !self.deleted.lock().unwrap().contains_key(&mark) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Whether what must hold holds, as both controllers see it.
    pub(super) fn check(&self, pair: &Holds, accepted: [bool; 2]) -> Result<(), String> {
        let deleted = self.deleted.lock().unwrap();
        self.servers.iter().try_for_each(|server| {
            server.state.read(|tables| {
                pair(&After {
                    tables,
                    accepted,
                    deleted: &deleted,
                })
            })
        })
    }
}

fn authority() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    Trust::load_or_create(folder.path()).unwrap();
    folder
}

async fn note_deletions(
    store: Arc<dyn Store>,
    from: Revision,
    deleted: Arc<Mutex<HashMap<String, Revision>>>,
) {
    let mut changes = store.watch(key::ROOT, from);
    while let Some(Ok(batch)) = changes.next().await {
        for change in batch.changes {
            if let Change::Delete { key, revision } = change {
                deleted.lock().unwrap().insert(key, revision);
            }
        }
    }
}
