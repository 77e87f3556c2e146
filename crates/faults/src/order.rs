//! What is ordered of points, as text.

use std::time::Duration;

/// What happens at a point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    Kill,
    Error,
    Lost,
    Delay(Duration),
}

/// One entry of the list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Order {
    pub(crate) point: String,
    pub(crate) action: Action,
    /// The visit at which it happens; `None`: at each.
    pub(crate) at: Option<u64>,
}

impl Action {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Error => "error",
            Self::Lost => "lost",
            Self::Delay(_) => "delay",
        }
    }
}

/// # Errors
/// In words, naming the entry.
pub(crate) fn parse(text: &str) -> Result<Vec<Order>, String> {
    let entries = text.split([';', '\n']).map(str::trim);
    entries
        .filter(|entry| !entry.is_empty())
        .map(|entry| one(entry).ok_or_else(|| format!("{entry:?} is no order for a fault point")))
        .collect()
}

fn one(entry: &str) -> Option<Order> {
    let (point, what) = entry.split_once('=')?;
    let (what, at) = match what.split_once('@') {
        None => (what, None),
        Some((what, at)) => (what, Some(at.parse().ok().filter(|at| *at > 0)?)),
    };
    let action = match what {
        "kill" => Action::Kill,
        "error" => Action::Error,
        "lost" => Action::Lost,
        _ => {
            let millis = what.strip_prefix("delay:")?.strip_suffix("ms")?;
            Action::Delay(Duration::from_millis(millis.parse().ok()?))
        }
    };
    let point = point.to_owned();
    Some(Order { point, action, at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_as_people_write_them() {
        let orders = parse("a.b=kill@2; c.d=error;\ne.f=delay:500ms;g.h=lost;").unwrap();
        let order = |point: &str, action, at| Order {
            point: point.to_owned(),
            action,
            at,
        };
        assert_eq!(
            orders,
            [
                order("a.b", Action::Kill, Some(2)),
                order("c.d", Action::Error, None),
                order("e.f", Action::Delay(Duration::from_millis(500)), None),
                order("g.h", Action::Lost, None),
            ]
        );
    }

    #[test]
    fn what_is_no_order_is_named() {
        for text in [
            "a",
            "a=die",
            "a=kill@0",
            "a=kill@x",
            "a=delay:5",
            "a=delay:xms",
        ] {
            let problem = parse(&format!("x.y=kill;{text}")).unwrap_err();
            assert!(problem.contains(text), "{problem}");
        }
    }
}
