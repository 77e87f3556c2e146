//! What one of several has, settings, users and nodes.

use std::sync::Arc;
use std::time::Duration;

use foghorn_controller::app::accounts::{self, hash_token};
use foghorn_controller::app::enrolment::Way;
use foghorn_controller::app::enrolment::vouched::Vouched;
use foghorn_controller::app::users::{self, NewAccount, Secret};
use foghorn_controller::app::{authority, enrolment};
use foghorn_controller::state::authority::Authority;
use foghorn_controller::state::classes::{MacAddressAssociation, StorageNode, User};
use foghorn_controller::state::{Refusal, State};
use foghorn_controller::trust::Keeping;
use foghorn_proto::http::EnrolRequest;
use foghorn_types::{NodeName, Role, StorageGroupId};
use futures_util::FutureExt as _;
use serde_json::json;

use super::fleet::{Fleet, Pair};
use crate::native::fleet::Keys;

const TTL: Duration = Duration::from_secs(600);

pub(super) async fn one_primary_address(fleet: Arc<Fleet>, _: usize) -> Pair {
    let host = fleet.host().await;
    let edit = |server| {
        let macs = json!([Fleet::mac(fleet.fresh())]);
        fleet.edit(server, "host", host, json!({"macs": macs}))
    };
    Pair::new(edit(0), edit(1), move |after| {
        let rows = after.tables.of::<MacAddressAssociation>();
        let rows = rows.by(MacAddressAssociation::BY_HOST, host.into());
        let primary = rows.filter(|row| row.primary.is_yes()).count();
        if primary == 1 {
            Ok(())
        } else {
            Err(format!("{primary} primary addresses"))
        }
    })
}

fn node_name(fleet: &Fleet) -> NodeName {
    format!("node{}", fleet.fresh()).parse().unwrap()
}

/// The nodes of a pair must get their ids from memory: who reserves a block of ids compares the last
/// one in the store, and so meets the other one of the pair without any guard. So the pairs come one
/// after the other, each after some nodes that let the blocks grow.
pub(super) async fn one_master_of_a_group(fleet: Arc<Fleet>, _: usize) -> Pair {
    let group = fleet.named("storagegroup").await;
    for server in fleet.servers.iter().chain(&fleet.servers) {
        let name = node_name(&fleet);
        enrolment::join_token(&server.ctx, &name, None, TTL)
            .await
            .unwrap();
    }
    let join = |server: usize| {
        let (ctx, name) = (fleet.servers[server].ctx.clone(), node_name(&fleet));
        let group = StorageGroupId::new(group);
        async move { enrolment::join_token(&ctx, &name, group, TTL).await.is_ok() }.boxed()
    };
    Pair::new(join(0), join(1), move |after| {
        let nodes = after.tables.storage_nodes();
        let nodes = nodes.by(StorageNode::BY_GROUP, group.into());
        let masters = nodes.filter(|node| node.is_master.is_yes()).count();
        if masters == 1 {
            Ok(())
        } else {
            Err(format!("{masters} masters"))
        }
    })
}

/// A token that was made before its node was revoked admits nobody.
pub(super) async fn revoked_and_a_new_token(fleet: Arc<Fleet>, _: usize) -> Pair {
    let (name, ctx) = (node_name(&fleet), fleet.servers[0].ctx.clone());
    let token = enrolment::join_token(&ctx, &name, None, TTL).await.unwrap();
    let (join_token, csr_pem) = (token.text, Keys::new().csr_pem);
    enrolment::enrol(
        &ctx,
        &EnrolRequest {
            join_token,
            csr_pem,
            ..EnrolRequest::default()
        },
    )
    .await
    .unwrap();
    let node = token.node;
    let revoke = async move { enrolment::revoke(&ctx, node).await.is_ok() }.boxed();
    let ctx = fleet.servers[1].ctx.clone();
    let join = async move { enrolment::join_token(&ctx, &name, None, TTL).await.is_ok() };
    Pair::new(revoke, join.boxed(), move |after| {
        let enrolled = after
            .tables
            .enrolled_nodes()
            .get(&node)
            .ok_or("not enrolled")?;
        let mut unused = after.tables.tokens().unused_of(node);
        if enrolled.is_revoked() && unused.any(|token| token.modified < enrolled.modified) {
            return Err("an older token still admits the node".to_owned());
        }
        Ok(())
    })
}

/// A node that is shut out stays out, whatever a cluster says of its name.
pub(super) async fn revoked_and_vouched_for(fleet: Arc<Fleet>, _: usize) -> Pair {
    let (name, ctx) = (node_name(&fleet), fleet.servers[0].ctx.clone());
    let way = Way::Vouched(Vouched {
        name,
        group: None,
        is_its_name: true,
        named_after: None,
    });
    let csr_pem = Keys::new().csr_pem;
    let node = enrolment::admit(&ctx, &way, &csr_pem)
        .await
        .unwrap()
        .node_id;
    let revoke = async move { enrolment::revoke(&ctx, node).await.is_ok() }.boxed();
    let ctx = fleet.servers[1].ctx.clone();
    let csr_pem = Keys::new().csr_pem;
    let enrol = async move { enrolment::admit(&ctx, &way, &csr_pem).await.is_ok() };
    Pair::new(revoke, enrol.boxed(), move |after| {
        let enrolled = after
            .tables
            .enrolled_nodes()
            .get(&node)
            .ok_or("not enrolled")?;
        match enrolled.is_revoked() {
            true => Ok(()),
            false => Err("the cluster has let a revoked node in".to_owned()),
        }
    })
}

/// One turns the API on, the other sets its token: both count. Until then nobody may use it.
pub(super) async fn settings_of_the_api(fleet: Arc<Fleet>, _: usize) -> Pair {
    let (one, other) = (
        fleet.servers[0].state.clone(),
        fleet.servers[1].state.clone(),
    );
    let token = fleet.servers[0].first.api_token.clone();
    accounts::set_api_enabled(&one, false).await.unwrap();
    accounts::set_api_token(&one, "old").await.unwrap();
    let expected = hash_token(&token);
    let on = async move { accounts::set_api_enabled(&one, true).await.is_ok() }.boxed();
    let set = async move { accounts::set_api_token(&other, &token).await.is_ok() }.boxed();
    Pair::new(on, set, move |after| {
        let api = after.tables.api().ok_or("no settings")?;
        if api.enabled && api.token_hash == expected {
            return Ok(());
        }
        Err(format!("one of two changes is lost: {}", api.enabled))
    })
}

async fn administrator(state: &State, number: u32) -> u32 {
    let account = NewAccount {
        name: format!("user{number}"),
        role: Role::Administrator,
        api: true,
        secret: Secret::None,
    };
    users::create(state, account).await.unwrap().0
}

pub(super) async fn role_and_token_of_a_user(fleet: Arc<Fleet>, _: usize) -> Pair {
    let (one, other) = (
        fleet.servers[0].state.clone(),
        fleet.servers[1].state.clone(),
    );
    let user = administrator(&one, fleet.fresh()).await;
    let hash = |state: &State| {
        let hash = |tables: &foghorn_controller::state::Tables| {
            tables
                .of::<User>()
                .get(user)
                .map(|row| row.token_hash.clone())
        };
        state.read(hash)
    };
    let before = hash(&one);
    let demote = async move {
        users::edit(&one, user, Some(Role::Operator), None)
            .await
            .is_ok()
    };
    let renew = async move { users::reset_token(&other, user).await.is_ok() };
    Pair::new(demote.boxed(), renew.boxed(), move |after| {
        let row = after.tables.of::<User>().get(user).ok_or("no user")?;
        let renewed = Some(&row.token_hash) != before.as_ref();
        if row.role() == Role::Operator && renewed {
            return Ok(());
        }
        Err(format!("one of two changes is lost: {}", row.role))
    })
}

/// Two controllers with an authority each on a store that has none.
pub(super) async fn one_authority(fleet: Arc<Fleet>, _: usize) -> Pair {
    let forgotten = fleet.servers[0].state.write::<_, Refusal>(|draft| {
        draft.forget::<Authority>(&());
        Ok(())
    });
    forgotten.await.unwrap();
    let open = |server: usize| {
        let state = fleet.servers[server].state.clone();
        let place = Keeping::Own(fleet.folders[server].path().to_owned());
        async move { authority::open(&state, &place, false).await.is_ok() }.boxed()
    };
    Pair::new(open(0), open(1), |after| after.one())
}

/// There are two administrators, and each takes away the other. The last row: the users are gone
/// with whose tokens requests are sent.
pub(super) async fn last_administrator(fleet: Arc<Fleet>, number: usize) -> Pair {
    let state = fleet.servers[0].state.clone();
    let pair = [
        administrator(&state, fleet.fresh()).await,
        administrator(&state, fleet.fresh()).await,
    ];
    let rules = |row: &User| row.role() == Role::Administrator && row.api.is_yes();
    let others: Vec<u32> = state.read(|tables| {
        let users = tables.of::<User>().iter().filter(|row| rules(row));
        users
            .map(|row| row.id)
            .filter(|id| !pair.contains(id))
            .collect()
    });
    for user in others {
        users::remove(&state, user).await.unwrap();
    }
    let take_away = |server: usize| {
        let (state, user) = (fleet.servers[server].state.clone(), pair[server]);
        async move {
            let taken = match (number + server) % 3 {
                0 => users::remove(&state, user).await,
                1 => users::edit(&state, user, Some(Role::ReadOnly), None).await,
                _ => users::edit(&state, user, None, Some(false)).await,
            };
            taken.is_ok()
        }
        .boxed()
    };
    Pair::new(take_away(0), take_away(1), move |after| {
        after.one()?;
        let left = after
            .tables
            .of::<User>()
            .iter()
            .filter(|row| rules(row))
            .count();
        if left == 1 {
            Ok(())
        } else {
            Err(format!("{left} administrators"))
        }
    })
}
