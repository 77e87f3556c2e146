//! Every check with a write that relies on it, sixty times: two acts at once, on two controllers with
//! one store. The table is docs/decisions/0015-guards.md.

mod devices;
mod flags;
mod fleet;
mod once;
mod references;
mod rings;
mod tasks;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use foghorn_controller::app;
use foghorn_controller::state::State;
use foghorn_controller::state::classes::{Service, User};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join, join_all};
use tokio_util::sync::CancellationToken;

use self::fleet::{Fleet, Pair};
use crate::engine::{BOTH, Engine};
use crate::fog_rules::contention::settle;

const PAIRS: usize = 60;

/// A row of the table.
struct Row {
    name: &'static str,
    /// Makes what a pair works with, and the pair; the number tells the sixty apart.
    prepare: fn(Arc<Fleet>, usize) -> BoxFuture<'static, Pair>,
    /// Whether all pairs are about the same thing, so that they come one after the other. They do not
    /// ask what was deleted.
    in_turn: bool,
}

/// The name of a row, in the table and here, is that of the function that prepares its pairs.
macro_rules! rows {
    ($($in_turn:literal $module:ident::$name:ident),* $(,)?) => {
        [$(Row {
            name: stringify!($name),
            prepare: |fleet, number| $module::$name(fleet, number).boxed(),
            in_turn: $in_turn,
        }),*]
    };
}

fn rows() -> Vec<Row> {
    Vec::from(rows![
        false once::one_name,
        false once::one_address,
        false once::one_pair,
        false once::one_inventory,
        false once::one_session_of_a_name,
        false once::one_new_name,
        false once::one_answer_for_a_key,
        false once::one_edit_of_a_version,
        false once::one_use_of_a_join_token,
        false once::one_place_of_a_token_for_many,
        false once::one_agent_of_a_name,
        false once::one_use_of_a_boot_token,
        false once::one_use_of_a_room_token,
        false once::one_power_action,
        false once::one_task_of_a_schedule,
        false references::host_goes,
        false references::group_goes,
        false references::image_goes,
        false references::snapin_goes,
        false references::printer_goes,
        false references::module_goes,
        false references::snapin_job_goes,
        false references::session_goes,
        false references::members_replaced_twice,
        false references::members_replaced_and_added,
        false tasks::order_and_host_goes,
        false tasks::order_and_image_goes,
        false tasks::cancel_and_check_in,
        false tasks::snapins_end_and_more_come,
        true tasks::session_settles_and_a_task_joins,
        false tasks::session_is_cancelled_and_a_task_joins,
        false tasks::session_is_left_by_both,
        false flags::one_primary_address,
        true flags::one_master_of_a_group,
        false flags::revoked_and_a_new_token,
        false flags::revoked_and_vouched_for,
        true flags::settings_of_the_api,
        false flags::role_and_token_of_a_user,
        true flags::one_authority,
        false devices::one_key_of_a_device,
        false devices::one_name_of_a_device,
        false devices::one_name_of_a_device_group,
        false devices::device_group_goes_and_a_device_comes,
        false devices::device_goes_and_is_configured,
        false devices::device_goes_and_speaks,
        false devices::device_goes_and_tests,
        false devices::device_goes_and_tells_of_users,
        false devices::two_files_of_a_configuration,
        false devices::one_device_of_a_host,
        false devices::factory_goes_and_a_device_comes,
        false devices::factory_goes_and_an_event_queue_comes,
        false devices::one_label_of_an_event_queue,
        false rings::two_orders_of_a_machine,
        false rings::device_goes_and_is_imaged,
        false rings::two_rules_of_a_policy,
        false rings::factory_goes_and_a_policy_comes,
        false rings::image_goes_and_is_tagged,
        false rings::host_goes_and_gets_an_identity,
        // The last one: the tokens of the fleet's own administrator may be gone after it.
        true flags::last_administrator,
    ])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_and_the_write_that_relies_on_it_are_one_transaction() {
    let only = std::env::var("FOGHORN_GUARD").unwrap_or_default();
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let fleet = Fleet::start(&engine).await;
        let mut broken = Vec::new();
        for row in rows().iter().filter(|row| row.name.contains(&only)) {
            let start = Instant::now();
            let results = if row.in_turn {
                let mut results = Vec::new();
                for number in 0..PAIRS {
                    results.extend(run(&fleet, row, number..number + 1).await);
                }
                results
            } else {
                run(&fleet, row, 0..PAIRS).await
            };
            let wrong: Vec<_> = results
                .iter()
                .filter_map(|held| held.as_ref().err())
                .collect();
            eprintln!(
                "{kind:?} {}: {} wrong, {:?}",
                row.name,
                wrong.len(),
                start.elapsed()
            );
            if let Some(first) = wrong.first() {
                broken.push(format!("{} of {PAIRS} {}: {first}", wrong.len(), row.name));
            }
        }
        assert!(broken.is_empty(), "{kind:?}: {broken:#?}");
    }
}

async fn run(
    fleet: &Arc<Fleet>,
    row: &Row,
    numbers: std::ops::Range<usize>,
) -> Vec<Result<(), String>> {
    let pairs = join_all(numbers.map(|number| (row.prepare)(fleet.clone(), number))).await;
    settle(&fleet.servers).await;
    let racing = pairs.into_iter().map(|pair| {
        let [one, other] = pair.acts;
        let (one, other) = (tokio::spawn(one), tokio::spawn(other));
        async move {
            let (one, other) = join(one, other).await;
            (pair.holds, [one.unwrap(), other.unwrap()])
        }
    });
    // All of them are spawned before the first is waited for.
    let ended = join_all(racing.collect::<Vec<_>>()).await;
    if row.in_turn {
        settle(&fleet.servers).await;
    } else {
        fleet.settle().await;
    }
    let checked = ended
        .iter()
        .map(|(holds, accepted)| fleet.check(holds, *accepted));
    checked.collect()
}

/// What a first start stores, two controllers store once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_first_starts_at_once_one_makes_the_user() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let cancel = CancellationToken::new();
        let (one, other) = join(
            State::start(engine.store(), cancel.clone()),
            State::start(engine.store(), cancel.clone()),
        )
        .await;
        let states = [one.unwrap().0, other.unwrap().0];
        let made = join(app::first_run(&states[0]), app::first_run(&states[1])).await;
        let made = [made.0.unwrap(), made.1.unwrap()];
        // Who did not make it shows what the other made, as long as it has not been used.
        let shown: BTreeSet<_> = made.iter().flatten().map(|made| &made.user_token).collect();
        assert_eq!(shown.len(), 1, "{kind:?}");
        let (users, settings) = states[0].read(|tables| {
            let names = tables.of::<Service>().iter().map(|row| row.name.clone());
            (tables.of::<User>().len(), names.collect::<Vec<_>>())
        });
        let different: BTreeSet<_> = settings.iter().collect();
        assert_eq!((users, settings.len()), (1, different.len()), "{kind:?}");
        cancel.cancel();
    }
}
