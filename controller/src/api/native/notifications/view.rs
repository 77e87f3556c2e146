//! Targets and messages, as they are shown.

use foghorn_rest_types::notifications::{
    DeliveryState, DeliveryView, MailSecurity, MailView, NotificationView, NotifyBy,
};
use foghorn_types::Timestamp;

use crate::app::notices::{self, targets, view};
use crate::state::Tables;
use crate::state::notify::{Address, Fate, Mail, Message, Security, Target};

pub(super) fn list(tables: &Tables) -> Vec<NotificationView> {
    let targets = tables.notify_targets().iter();
    let mut shown: Vec<_> = targets.map(|target| target_view(tables, target)).collect();
    shown.sort_by_key(|one| one.name.to_lowercase());
    shown
}

pub(super) fn one(tables: &Tables, id: u32) -> Option<NotificationView> {
    let target = tables.notify_targets().get(&id)?;
    Some(target_view(tables, target))
}

fn messages_of(tables: &Tables, target: u32) -> impl Iterator<Item = &Message> {
    let messages = tables.notify_messages().iter().map(AsRef::as_ref);
    messages.filter(move |message: &&Message| message.target == target)
}

fn target_view(tables: &Tables, target: &Target) -> NotificationView {
    let (mut waiting, mut dead, mut last_delivered, mut last_error) = (0, 0, None, None);
    for message in messages_of(tables, target.id) {
        match &message.fate {
            Fate::Waiting { .. } => waiting += 1,
            Fate::Dead { .. } => dead += 1,
            Fate::Delivered { at } => last_delivered = last_delivered.max(Some(*at)),
        }
        last_error = message.error.clone();
    }
    let pending = tables.notify_pending().iter();
    let (by, template, web, mail) = match &target.address {
        Address::Webhook { web, .. } => (NotifyBy::Webhook, None, Some(web), None),
        Address::Chat { web, template } => {
            (NotifyBy::Chat, Some(template.clone()), Some(web), None)
        }
        Address::Mail(mail) => (NotifyBy::Mail, None, None, Some(mail)),
    };
    let ca_pem = web
        .and_then(|web| web.ca_pem.clone())
        .or_else(|| mail.and_then(|mail| mail.ca_pem.clone()));
    NotificationView {
        id: target.id,
        name: target.name.clone(),
        by,
        enabled: target.enabled,
        address: targets::shown(&target.address),
        kinds: notices::kinds(tables, target).into_iter().collect(),
        own_kinds: !target.kinds.is_empty(),
        groups: target.groups.iter().copied().collect(),
        burst: target.burst,
        interval_seconds: target.interval_seconds,
        template,
        ca_pem,
        mail: mail.map(mail_view),
        pending: pending.filter(|one| one.target == target.id).count(),
        waiting,
        dead,
        last_delivered: last_delivered.map(|at| at.to_string()),
        last_error,
    }
}

fn mail_view(mail: &Mail) -> MailView {
    MailView {
        to: mail.to.clone(),
        from: mail.from.clone(),
        server: mail.server.clone(),
        port: mail.port,
        security: match mail.security {
            Security::Starttls => MailSecurity::Starttls,
            Security::Tls => MailSecurity::Tls,
            Security::Plain => MailSecurity::Plain,
        },
        user: mail.user.clone(),
        has_password: mail.password.is_some(),
    }
}

pub(super) fn deliveries(
    tables: &Tables,
    target: u32,
    only_dead: bool,
    limit: usize,
    now: Timestamp,
) -> Vec<DeliveryView> {
    let messages: Vec<&Message> = messages_of(tables, target).collect();
    let wanted = messages
        .into_iter()
        .rev()
        .filter(|message| !only_dead || matches!(message.fate, Fate::Dead { .. }));
    wanted
        .take(limit)
        .map(|message| delivery(message, now))
        .collect()
}

fn delivery(message: &Message, now: Timestamp) -> DeliveryView {
    let (state, at) = match &message.fate {
        Fate::Waiting {
            claim: Some(claim), ..
        } if claim.until > now => (DeliveryState::Sending, now),
        Fate::Waiting { due, .. } => (DeliveryState::Waiting, *due),
        Fate::Delivered { at } => (DeliveryState::Delivered, *at),
        Fate::Dead { at } => (DeliveryState::Dead, *at),
    };
    DeliveryView {
        id: message.id.clone(),
        state,
        created: message.created.to_string(),
        title: view::title(message),
        events: message.events.iter().map(view::event).collect(),
        failed_attempts: message.failed,
        error: message.error.clone(),
        at: at.to_string(),
    }
}
