//! Tables of who is told, and of messages.

use foghorn_rest_types::notifications::{DeliveryState, DeliveryView, NotificationView, NotifyBy};

use crate::exit::{Exit, Failure};
use crate::output::{Output, Table};

/// Of what one is told, in words.
pub(super) fn kinds(one: &NotificationView) -> String {
    let kinds: Vec<&str> = one.kinds.iter().map(|kind| kind.as_str()).collect();
    kinds.join(", ")
}

fn by(one: &NotificationView) -> &'static str {
    match one.by {
        NotifyBy::Webhook => "webhook",
        NotifyBy::Chat => "chat",
        NotifyBy::Mail => "mail",
    }
}

pub(super) fn list(output: Output, all: &[NotificationView]) -> Result<(), Failure> {
    let mut table = Table::new(&["ID", "NAME", "BY", "TO", "STATE", "LAST DELIVERED"]);
    for one in all {
        table.row([
            one.id.to_string(),
            one.name.clone(),
            by(one).to_owned(),
            one.address.clone(),
            state(one),
            one.last_delivered
                .as_deref()
                .map_or_else(|| "never".to_owned(), |at| output.time(at)),
        ]);
    }
    output.show(&table, &all)
}

/// "on", "off", "2 waiting, 3 given up".
fn state(one: &NotificationView) -> String {
    if !one.enabled {
        return "off".to_owned();
    }
    let mut words = Vec::new();
    if one.pending + one.waiting > 0 {
        words.push(format!("{} waiting", one.pending + one.waiting));
    }
    if one.dead > 0 {
        words.push(format!("{} given up", one.dead));
    }
    if words.is_empty() {
        words.push("on".to_owned());
    }
    words.join(", ")
}

pub(super) fn one(output: Output, one: &NotificationView) -> Result<(), Failure> {
    let value = serde_json::to_value(one).map_err(|error| {
        Failure::new(Exit::Failed, "could not show the notification").caused_by(error)
    })?;
    output.show_object(&one.id.to_string(), &value)
}

pub(super) fn deliveries(output: Output, all: &[DeliveryView]) -> Result<(), Failure> {
    let mut table = Table::new(&["ID", "STATE", "AT", "FAILED", "MESSAGE", "LAST ERROR"]);
    for one in all {
        let state = match one.state {
            DeliveryState::Waiting => "waiting",
            DeliveryState::Sending => "sending",
            DeliveryState::Delivered => "delivered",
            DeliveryState::Dead => "given up",
        };
        table.row([
            one.id.clone(),
            state.to_owned(),
            output.time(&one.at),
            one.failed_attempts.to_string(),
            one.title.clone(),
            one.error.clone().unwrap_or_default(),
        ]);
    }
    output.show(&table, &all)
}
