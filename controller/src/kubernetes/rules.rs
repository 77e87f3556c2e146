//! Which pods may be which storage nodes, by the configuration.

use foghorn_types::NodeName;

use super::review::Pod;
use crate::config::{AllowedAccount, NameOf};

/// What a pod may have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Granted {
    /// Name of the storage group in which its node is made; `None`: the first one.
    pub storage_group: Option<String>,
    /// Whether the cluster vouches for the very name, which no other pod can have then.
    pub is_its_name: bool,
    /// What the storage node is named after, as the cluster names it: two of its names can become one,
    /// since dots become hyphens.
    pub named_after: Option<String>,
}

/// Why a pod may not have a name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotAllowed {
    #[error(
        "the pods of {namespace}/{account} may not be storage nodes: `kubernetes.allowed` of the controller's configuration has no such account"
    )]
    Account { namespace: String, account: String },
    #[error(
        "the pods of {namespace}/{account} may not have the name {name}: `names` in the controller's configuration allows others"
    )]
    Names {
        namespace: String,
        account: String,
        name: NodeName,
    },
    #[error(
        "the agent says that its name is {name}, but its {what} is {own}: set FOGHORN_AGENT_NAME from the field {field} of the pod"
    )]
    Other {
        name: NodeName,
        what: &'static str,
        own: String,
        field: &'static str,
    },
    #[error(
        "the API server does not say which {what} the token belongs to: it must be a projected token of a pod{since}"
    )]
    Untold {
        what: &'static str,
        since: &'static str,
    },
}

/// What the first rule that allows it grants. An account may have several rules.
pub(super) fn grant(
    rules: &[AllowedAccount],
    pod: &Pod,
    name: &NodeName,
) -> Result<Granted, NotAllowed> {
    let (namespace, account) = (pod.namespace.clone(), pod.account.clone());
    let is_its =
        |rule: &&AllowedAccount| rule.namespace == pod.namespace && rule.account == pod.account;
    let mut refused = NotAllowed::Account { namespace, account };
    for rule in rules.iter().filter(is_its) {
        match by_rule(rule, pod, name) {
            Ok(granted) => {
                let is_its_name = granted.is_its_name && !is_of_others(rules, rule, name);
                return Ok(Granted {
                    is_its_name,
                    ..granted
                });
            }
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

fn by_rule(rule: &AllowedAccount, pod: &Pod, name: &NodeName) -> Result<Granted, NotAllowed> {
    if !rule.names.matches(name) {
        return Err(NotAllowed::Names {
            namespace: pod.namespace.clone(),
            account: pod.account.clone(),
            name: name.clone(),
        });
    }
    let named_after = match rule.name_of {
        None => None,
        Some(NameOf::Node) => {
            let since = ", and the API server that of Kubernetes 1.30 or later";
            is_named_after(name, pod.node.as_deref(), ("node", "spec.nodeName", since))?;
            pod.node.clone()
        }
        Some(NameOf::Pod) => {
            is_named_after(name, pod.pod.as_deref(), ("pod", "metadata.name", ""))?;
            pod.pod.clone()
        }
    };
    Ok(Granted {
        storage_group: rule.storage_group.clone(),
        is_its_name: rule.name_of.is_some(),
        named_after,
    })
}

/// Whether the rules also vouch for this name to a pod that is named otherwise: after its node, where
/// this one is after itself, or in another namespace.
fn is_of_others(rules: &[AllowedAccount], own: &AllowedAccount, name: &NodeName) -> bool {
    let is_other = |rule: &&AllowedAccount| {
        let is_elsewhere = own.name_of == Some(NameOf::Pod) && rule.namespace != own.namespace;
        rule.name_of.is_some() && (rule.name_of != own.name_of || is_elsewhere)
    };
    let mut others = rules.iter().filter(is_other);
    others.any(|rule| rule.names.matches(name))
}

fn is_named_after(
    name: &NodeName,
    told: Option<&str>,
    (what, field, since): (&'static str, &'static str, &'static str),
) -> Result<(), NotAllowed> {
    let told = told.ok_or(NotAllowed::Untold { what, since })?;
    if NodeName::of_machine(told).is_ok_and(|own| own == *name) {
        return Ok(());
    }
    Err(NotAllowed::Other {
        name: name.clone(),
        what,
        own: told.to_owned(),
        field,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(names: &str, name_of: Option<NameOf>) -> AllowedAccount {
        AllowedAccount {
            namespace: "fog".to_owned(),
            account: "agent".to_owned(),
            names: names.parse().unwrap(),
            name_of,
            storage_group: Some(names.replace('*', "x")),
        }
    }

    fn pod(account: &str, node: Option<&str>) -> Pod {
        Pod {
            namespace: "fog".to_owned(),
            account: account.to_owned(),
            pod: Some("agent-0".to_owned()),
            node: node.map(str::to_owned),
        }
    }

    fn ask(rules: &[AllowedAccount], pod: &Pod, name: &str) -> Result<Granted, String> {
        grant(rules, pod, &name.parse().unwrap()).map_err(|refused| refused.to_string())
    }

    #[test]
    fn an_account_has_the_names_of_its_rules() {
        let rules = [rule("a-*", None), rule("b-*", None)];
        let granted = ask(&rules, &pod("agent", None), "b-1").unwrap();
        assert_eq!(granted.storage_group.as_deref(), Some("b-x"));
        assert!(!granted.is_its_name, "another pod may say the same");
        let refused = ask(&rules, &pod("agent", None), "c-1").unwrap_err();
        assert!(refused.contains("may not have the name c-1"), "{refused}");
        let refused = ask(&rules, &pod("other", None), "a-1").unwrap_err();
        assert!(refused.contains("fog/other"), "{refused}");
        let elsewhere = Pod {
            namespace: "default".to_owned(),
            ..pod("agent", None)
        };
        assert!(ask(&rules, &elsewhere, "a-1").is_err());
    }

    #[test]
    fn a_name_that_is_that_of_the_node_or_pod_is_compared() {
        let of_node = [rule("*", Some(NameOf::Node))];
        let there = pod("agent", Some("worker-1.example"));
        let granted = ask(&of_node, &there, "worker-1-example").unwrap();
        assert!(granted.is_its_name);
        assert_eq!(granted.named_after.as_deref(), Some("worker-1.example"));
        let refused = ask(&of_node, &there, "worker-2").unwrap_err();
        assert!(
            refused.contains("its node is worker-1.example"),
            "{refused}"
        );
        let refused = ask(&of_node, &pod("agent", None), "worker-1").unwrap_err();
        assert!(
            refused.contains("1.30"),
            "what is not told is not assumed: {refused}"
        );
        let of_pod = [rule("agent-*", Some(NameOf::Pod))];
        assert!(ask(&of_pod, &there, "agent-0").unwrap().is_its_name);
        assert!(ask(&of_pod, &there, "agent-1").is_err());
    }

    /// Pods of two namespaces may have one name, and a pod that of a node.
    #[test]
    fn a_name_that_others_may_have_too_is_not_vouched_for() {
        let of_pod = rule("*", Some(NameOf::Pod));
        let elsewhere = |names: &str, name_of| AllowedAccount {
            namespace: "default".to_owned(),
            ..rule(names, Some(name_of))
        };
        let there = pod("agent", Some("worker-1"));
        for (other, is_its_name) in [
            (elsewhere("agent-*", NameOf::Pod), false),
            (elsewhere("agent-*", NameOf::Node), false),
            (elsewhere("store-*", NameOf::Pod), true),
            (rule("*", Some(NameOf::Pod)), true),
            (rule("*", None), true),
        ] {
            let rules = [of_pod.clone(), other];
            let granted = ask(&rules, &there, "agent-0").unwrap();
            assert_eq!(granted.is_its_name, is_its_name, "{rules:?}");
        }
        // A node has one name in the whole cluster.
        let rules = [rule("*", Some(NameOf::Node)), elsewhere("*", NameOf::Node)];
        assert!(ask(&rules, &there, "worker-1").unwrap().is_its_name);
    }
}
