//! Agents that enrol by the service-account tokens of their pods.

use std::path::PathBuf;

use foghorn_types::NamePattern;
use schemars::JsonSchema;
use serde::Deserialize;

use super::ConfigError;

/// Where a pod finds what it needs to speak to the API server of its cluster.
const FOLDER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const HOST: &str = "KUBERNETES_SERVICE_HOST";
const PORT: &str = "KUBERNETES_SERVICE_PORT";
/// For which the tokens of agents must be.
const AUDIENCE: &str = "foghorn";

/// A cluster whose word about its pods counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KubernetesConfig {
    /// `https://HOST[:PORT]` of the API server.
    pub api_server: String,
    /// PEM file with the authorities of its certificate; read for every review, as it may change.
    pub ca_file: PathBuf,
    /// File with the controller's own token; likewise.
    pub token_file: PathBuf,
    /// Tokens of agents must be for this audience.
    pub audience: String,
    pub allowed: Vec<AllowedAccount>,
}

/// A service account whose pods may be storage nodes.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AllowedAccount {
    /// Namespace of the service account.
    pub namespace: String,
    /// Its name.
    pub account: String,
    /// The names that its agents may have.
    #[serde(default = "NamePattern::any")]
    #[schemars(with = "String", extend("default" = "*"))]
    pub names: NamePattern,
    /// Whose name an agent has; `None`: any that fits, as long as nobody else has it.
    pub name_of: Option<NameOf>,
    /// Name of the storage group in which new nodes are made; `None`: the first one.
    pub storage_group: Option<String>,
}

/// What an agent is named after. No two have the same name, so the cluster vouches for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NameOf {
    /// The node of Kubernetes on which the pod runs: for a DaemonSet.
    Node,
    /// The pod: for a StatefulSet.
    Pod,
}

/// Agents that enrol by the service-account tokens of their pods.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawKubernetes {
    /// Whether they do.
    #[serde(default)]
    enrol: bool,
    /// For which these tokens must be.
    #[schemars(extend("default" = AUDIENCE))]
    audience: Option<String>,
    /// Service accounts that may be storage nodes, and under which names; required with `enrol`.
    #[schemars(extend("examples" = [[{ "namespace": "foghorn-agents", "account": "foghorn-agent", "name_of": "node" }]]))]
    allowed: Option<Vec<AllowedAccount>>,
    /// `https://HOST[:PORT]` of the API server. Default: that of the controller's pod.
    #[schemars(extend("examples" = ["https://kubernetes.default.svc"]))]
    api_server: Option<String>,
    /// File with the authority of its certificate (PEM), read for every review. Default: that of the
    /// pod.
    #[schemars(extend("examples" = ["/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"]))]
    ca_file: Option<PathBuf>,
    /// File with the controller's own token, read for every review. Default: that of the pod.
    #[schemars(extend("examples" = ["/var/run/secrets/kubernetes.io/serviceaccount/token"]))]
    token_file: Option<PathBuf>,
}

impl RawKubernetes {
    /// `None` where agents do not enrol in this way.
    pub(super) fn check(self) -> Result<Option<KubernetesConfig>, ConfigError> {
        self.check_with(|name| std::env::var(name).ok())
    }

    fn check_with(
        self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<KubernetesConfig>, ConfigError> {
        let wrong = |key, why: &str| {
            Err(ConfigError::Value {
                key,
                why: why.to_owned(),
            })
        };
        if !self.enrol {
            return Ok(None);
        }
        let allowed = self.allowed.unwrap_or_default();
        if allowed.is_empty() {
            let why = "is required when `kubernetes.enrol` is true: such as [{ namespace = \"foghorn\", account = \"foghorn-agent\", name_of = \"node\" }]";
            return wrong("kubernetes.allowed", why);
        }
        let is_empty = |one: &AllowedAccount| one.namespace.is_empty() || one.account.is_empty();
        if allowed.iter().any(is_empty) {
            let why = "a namespace or an account is empty";
            return wrong("kubernetes.allowed", why);
        }
        let audience = self.audience.unwrap_or_else(|| AUDIENCE.to_owned());
        if audience.trim().is_empty() {
            return wrong("kubernetes.audience", "must not be empty");
        }
        let api_server = match self.api_server {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => match (variable(HOST), variable(PORT)) {
                (Some(host), Some(port)) => format!("https://{}:{port}", in_url(&host)),
                _ => {
                    let why =
                        "is required outside a cluster, where KUBERNETES_SERVICE_HOST is not set";
                    return wrong("kubernetes.api_server", why);
                }
            },
        };
        if !is_https(&api_server) {
            let why = "must be https://HOST or https://HOST:PORT";
            return wrong("kubernetes.api_server", why);
        }
        let in_folder = |name: &str| PathBuf::from(FOLDER).join(name);
        Ok(Some(KubernetesConfig {
            api_server,
            ca_file: self.ca_file.unwrap_or_else(|| in_folder("ca.crt")),
            token_file: self.token_file.unwrap_or_else(|| in_folder("token")),
            audience,
            allowed,
        }))
    }
}

/// An address of version 6 stands in brackets.
fn in_url(host: &str) -> String {
    if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

fn is_https(url: &str) -> bool {
    let authority = url.strip_prefix("https://");
    authority.is_some_and(|rest| !rest.is_empty() && !rest.contains(['/', '@', '?', '#', ' ']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, in_cluster: bool) -> Result<Option<KubernetesConfig>, String> {
        let raw: RawKubernetes = toml::from_str(text).map_err(|error| error.to_string())?;
        let variable = |name: &str| {
            let value = match name {
                HOST => "fd00::1",
                PORT => "443",
                _ => return None,
            };
            in_cluster.then(|| value.to_owned())
        };
        raw.check_with(variable).map_err(|error| error.to_string())
    }

    const ON: &str = "enrol = true\nallowed = [{ namespace = 'fog', account = 'agent' }]\n";

    #[test]
    fn in_a_cluster_two_keys_are_enough() {
        let config = read(ON, true).unwrap().unwrap();
        assert_eq!(config.api_server, "https://[fd00::1]:443");
        assert_eq!(config.audience, "foghorn");
        assert!(config.token_file.starts_with(FOLDER) && config.ca_file.ends_with("ca.crt"));
        let allowed = &config.allowed[0];
        assert_eq!((allowed.names.as_str(), allowed.name_of), ("*", None));
        let text = format!("{ON}api_server = 'https://k8s:6443/'\nca_file = '/ca'");
        let config = read(&text, false).unwrap().unwrap();
        assert_eq!(config.api_server, "https://k8s:6443");
        assert_eq!(config.ca_file, PathBuf::from("/ca"));
        assert_eq!(read("enrol = false\nallowed = []", false), Ok(None));
        assert_eq!(read("", false), Ok(None));
    }

    #[test]
    fn every_complaint_names_its_key() {
        for (text, key) in [
            (ON.to_owned(), "kubernetes.api_server"),
            (
                format!("{ON}api_server = 'http://k8s'"),
                "kubernetes.api_server",
            ),
            (
                format!("{ON}api_server = 'https://k8s/api'"),
                "kubernetes.api_server",
            ),
            (format!("{ON}audience = ''"), "kubernetes.audience"),
            ("enrol = true".to_owned(), "kubernetes.allowed"),
            (
                "enrol = true\nallowed = [{ namespace = '', account = 'a' }]".to_owned(),
                "kubernetes.allowed",
            ),
            ("enrl = true".to_owned(), "enrl"),
            ("allowed = [{ namespace = 'a' }]".to_owned(), "account"),
            (
                "allowed = [{ namespace = 'a', account = 'b', names = 'a.b' }]".to_owned(),
                "pattern",
            ),
            (
                "allowed = [{ namespace = 'a', account = 'b', name_of = 'host' }]".to_owned(),
                "name_of",
            ),
        ] {
            let said = read(&text, false).unwrap_err();
            assert!(said.contains(key), "{text:?}: {said:?}");
        }
    }
}
