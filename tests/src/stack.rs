//! A complete installation as processes: etcd or the embedded store, one controller, agents,
//! clients.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use foghorn_test_ports::{free_port, free_udp_port};
use serde_json::{Value, json};

use crate::disks;
use crate::process::{Process, until, until_answer};
use crate::rest::Rest;
use crate::tools::{controller_beside, find, foghorn};

/// Where the controller keeps its state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Engine {
    Embedded,
    Etcd,
}

/// Upper limit for waits in tests; debug builds on two busy cores are slow.
pub const PATIENCE: Duration = Duration::from_secs(90);

pub struct Stack {
    pub rest: Rest,
    pub controller: Process,
    pub agents: Vec<Agent>,
    etcd: Option<Etcd>,
    ports: Ports,
    address: String,
    environment: Environment,
    folder: tempfile::TempDir,
}

/// Variables that all programs of an installation are started with.
pub type Environment = Vec<(&'static str, String)>;

/// A storage node as a process.
pub struct Agent {
    pub name: String,
    pub process: Process,
    pub state: PathBuf,
    config: PathBuf,
    /// Command words before those of the agent, such as a command that enters a network namespace.
    wrap: Vec<String>,
}

struct Etcd {
    process: Process,
    client: u16,
    peer: u16,
    arguments: Vec<String>,
}

struct Ports {
    rest: u16,
    link: u16,
}

/// Differences from an ordinary installation on loopback.
#[derive(Clone)]
pub struct Options {
    /// Address that everything listens on.
    pub address: String,
    /// Lines added to the controller's configuration file, before its tables.
    pub controller: String,
    /// Lines added to the first agent's configuration file.
    pub agent: String,
    /// Where the installation stores its files; default: the system's temporary folder.
    pub folder: Option<PathBuf>,
    /// REST without TLS, for benchmarks.
    pub plain_http: bool,
    /// For controller, agents and clients; gets the folder of the installation.
    pub environment: fn(&Path) -> Environment,
    /// Arguments added to those of etcd.
    pub etcd: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: "127.0.0.1".to_owned(),
            controller: String::new(),
            agent: String::new(),
            folder: None,
            plain_http: false,
            environment: |_| Vec::new(),
            etcd: vec![],
        }
    }
}

/// A further controller of an installation, with clients of its own.
pub struct Beside {
    pub rest: Rest,
    pub process: Process,
    folder: PathBuf,
}

impl Beside {
    /// Starts it again after it was killed or stopped, on the same ports.
    pub fn restart(&mut self) -> Result<()> {
        self.restart_with(&[])
    }

    /// The same with variables in its environment.
    pub fn restart_with(&mut self, environment: &[(String, String)]) -> Result<()> {
        self.process = start_controller_with(controller_beside()?, &self.folder, environment)?;
        let (process, rest) = (&mut self.process, &self.rest);
        let what = "a further controller to become ready";
        until_answer(process, what, PATIENCE, || Ok(is_ready(rest).then_some(())))
    }
}

impl Stack {
    /// Controller and one agent (`defaultmember`) on loopback, ready for tasks.
    pub fn start(engine: Engine) -> Result<Self> {
        Self::start_with(engine, &Options::default())
    }

    pub fn start_with(engine: Engine, options: &Options) -> Result<Self> {
        let mut stack = Self::controller_only(engine, options)?;
        stack.add_agent("defaultmember", &options.agent)?;
        Ok(stack)
    }

    pub fn controller_only(engine: Engine, options: &Options) -> Result<Self> {
        let place = options.folder.clone().unwrap_or_else(std::env::temp_dir);
        let folder = tempfile::Builder::new()
            .prefix("foghorn-e2e-")
            .tempdir_in(place)?;
        let address = options.address.clone();
        let ports = Ports {
            rest: free_port()?,
            link: free_port()?,
        };
        let (etcd, store) = match engine {
            Engine::Embedded => (None, String::new()),
            Engine::Etcd => {
                let (client, peer) = (free_port()?, free_port()?);
                let process = run_etcd(folder.path(), client, peer, &options.etcd)?;
                (
                    Some(Etcd {
                        process,
                        client,
                        peer,
                        arguments: options.etcd.clone(),
                    }),
                    format!(
                        "[store]\nengine = \"etcd\"\nendpoints = [\"http://127.0.0.1:{client}\"]\n"
                    ),
                )
            }
        };
        let first_run = folder.path().join("first-run.json");
        fs::write(
            folder.path().join("controller.toml"),
            format!(
                "data_dir = {:?}\nfirst_run_file = {first_run:?}\n{}\n{store}\n[rest]\nlisten = \"{address}:{}\"\nnames = [{address:?}]\nplain_http = {}\ndrain_seconds = 1\n[link]\nlisten = \"{address}:{}\"\n",
                folder.path().join("controller"),
                options.controller,
                ports.rest,
                options.plain_http,
                ports.link
            ),
        )?;
        let environment = (options.environment)(folder.path());
        let mut controller = start_controller(folder.path(), &environment)?;
        let scheme = if options.plain_http { "http" } else { "https" };
        let url = format!("{scheme}://{address}:{}", ports.rest);
        let what = "the first answer of the controller";
        let ca = until_answer(&mut controller, what, PATIENCE, || {
            Ok(Rest::fetch_ca(&url).ok())
        })?;
        let secrets: Value = until("the first-run file", PATIENCE, || {
            Ok(fs::read(&first_run)
                .ok()
                .and_then(|text| serde_json::from_slice(&text).ok()))
        })?;
        let rest = Rest::new(
            &url,
            &ca,
            text(&secrets, "api_token")?,
            text(&secrets, "user_token")?,
        )?;
        let stack = Self {
            rest,
            controller,
            agents: vec![],
            etcd,
            ports,
            address,
            environment,
            folder,
        };
        stack.wait_ready()?;
        Ok(stack)
    }

    pub fn wait_ready(&self) -> Result<()> {
        until("the controller to become ready", PATIENCE, || {
            Ok(is_ready(&self.rest).then_some(()))
        })
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    #[must_use]
    pub fn link_port(&self) -> u16 {
        self.ports.link
    }

    /// A further controller on the same store, with the same authority.
    pub fn beside(&self, name: &str) -> Result<Beside> {
        self.beside_with(name, &[])
    }

    /// The same with variables in its environment.
    pub fn beside_with(&self, name: &str, environment: &[(String, String)]) -> Result<Beside> {
        let folder = self.folder().join(format!("controller-{name}"));
        let authority = folder.join("ca");
        fs::create_dir_all(&authority)?;
        for file in fs::read_dir(self.folder().join("controller/ca"))? {
            let file = file?;
            fs::copy(file.path(), authority.join(file.file_name()))?;
        }
        let first = fs::read_to_string(self.folder().join("controller.toml"))?;
        let (rest, link) = (free_port()?, free_port()?);
        let text = first
            .replace(
                &format!("{:?}", self.folder().join("controller")),
                &format!("{folder:?}"),
            )
            .replace(
                &format!("{}:{}", self.address, self.ports.rest),
                &format!("{}:{rest}", self.address),
            )
            .replace(
                &format!("{}:{}", self.address, self.ports.link),
                &format!("{}:{link}", self.address),
            );
        fs::write(folder.join("controller.toml"), text)?;
        let mut process = start_controller_with(controller_beside()?, &folder, environment)?;
        let known = &self.rest;
        let rest = Rest::new(
            &format!("https://{}:{rest}", self.address),
            &known.ca_pem,
            &known.api_token,
            &known.user_token,
        )?;
        let what = "a further controller to become ready";
        until_answer(&mut process, what, PATIENCE, || {
            Ok(is_ready(&rest).then_some(()))
        })?;
        Ok(Beside {
            rest,
            process,
            folder,
        })
    }

    /// A further storage node on a free port; `extra` is added to its configuration.
    pub fn add_agent(&mut self, name: &str, extra: &str) -> Result<()> {
        // A fixed port, so that clients can reach the agent after it was killed and restarted.
        self.add_agent_at(name, free_udp_port()?, extra)
    }

    pub fn add_agent_at(&mut self, name: &str, port: u16, extra: &str) -> Result<()> {
        let address = self.address.clone();
        self.start_new_agent(name, (&address, port), vec![], extra)
    }

    /// `wrap`: the words of a command that runs the agent's command.
    pub fn add_agent_wrapped(&mut self, name: &str, wrap: Vec<String>, extra: &str) -> Result<()> {
        let address = self.address.clone();
        self.start_new_agent(name, (&address, free_udp_port()?), wrap, extra)
    }

    /// The same on another machine, which has this address.
    pub fn add_agent_elsewhere(
        &mut self,
        name: &str,
        address: &str,
        wrap: Vec<String>,
        extra: &str,
    ) -> Result<()> {
        self.start_new_agent(name, (address, free_udp_port()?), wrap, extra)
    }

    fn start_new_agent(
        &mut self,
        name: &str,
        (address, port): (&str, u16),
        wrap: Vec<String>,
        extra: &str,
    ) -> Result<()> {
        let token = self
            .rest
            .post("/foghorn/v1/nodes/join-token", &json!({ "name": name }))?
            .ok()?;
        let state = self.folder().join(format!("agent-{name}"));
        let config = self.folder().join(format!("agent-{name}.toml"));
        fs::write(
            &config,
            format!(
                "state_dir = {state:?}\ncontroller = {:?}\njoin_token = {:?}\nlisten = \"{address}:{port}\"\n{extra}\n",
                self.rest.url,
                text(&token, "token")?,
            ),
        )?;
        let mut process = start_agent(self.folder(), name, &config, &wrap, &self.environment)?;
        let what = format!("storage node {name} to be online");
        until_answer(&mut process, &what, PATIENCE, || {
            Ok(self.is_online(name)?.then_some(()))
        })?;
        self.agents.push(Agent {
            name: name.to_owned(),
            process,
            state,
            config,
            wrap,
        });
        Ok(())
    }

    /// Waits until the FOG row of the node shows that it is online.
    pub fn wait_online(&self, name: &str) -> Result<()> {
        let what = format!("storage node {name} to be online");
        until(&what, PATIENCE, || Ok(self.is_online(name)?.then_some(())))
    }

    fn is_online(&self, name: &str) -> Result<bool> {
        let nodes = self.rest.get("/fog/storagenode")?.ok()?;
        let rows = nodes["storagenodes"].as_array().into_iter().flatten();
        let mut named = rows.filter(|row| {
            let found = row["name"].as_str();
            found.is_some_and(|text| text.eq_ignore_ascii_case(name))
        });
        Ok(named.any(|row| row["online"] == json!(true)))
    }

    /// Starts the controller again after it was killed or stopped, on the same ports and state.
    pub fn restart_controller(&mut self) -> Result<()> {
        self.respawn_controller()?;
        let (controller, rest) = (&mut self.controller, &self.rest);
        until_answer(
            controller,
            "the controller to become ready",
            PATIENCE,
            || Ok(is_ready(rest).then_some(())),
        )
    }

    /// The same without waiting for it.
    pub fn respawn_controller(&mut self) -> Result<()> {
        self.controller = start_controller(self.folder(), &self.environment)?;
        Ok(())
    }

    /// Starts an agent again after it was killed or stopped, on the same state.
    pub fn restart_agent(&mut self, index: usize) -> Result<()> {
        let agent = &self.agents[index];
        let process = start_agent(
            self.folder(),
            &agent.name,
            &agent.config,
            &agent.wrap,
            &self.environment,
        )?;
        self.agents[index].process = process;
        Ok(())
    }

    pub fn kill_etcd(&mut self) -> Result<()> {
        let etcd = self.etcd.as_mut().context("this stack has no etcd")?;
        etcd.process.kill()
    }

    /// Starts etcd again after it was killed, on the same ports and data.
    pub fn restart_etcd(&mut self) -> Result<()> {
        let etcd = self.etcd.as_mut().context("this stack has no etcd")?;
        etcd.process = etcd.run_again(self.folder.path())?;
        Ok(())
    }

    /// The process of etcd, if there is one.
    #[must_use]
    pub fn etcd_id(&self) -> Option<u32> {
        self.etcd.as_ref().map(|etcd| etcd.process.id())
    }

    /// Where etcd answers clients.
    pub fn etcd_url(&self) -> Result<String> {
        let etcd = self.etcd.as_ref().context("this stack has no etcd")?;
        Ok(format!("http://127.0.0.1:{}", etcd.client))
    }

    /// Stops controller and store, hands the folder of the store to `work`, and starts both again.
    pub fn with_store_at_rest(&mut self, work: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        self.controller.stop(PATIENCE)?;
        match &mut self.etcd {
            None => work(&self.folder.path().join("controller"))?,
            Some(etcd) => {
                etcd.process.stop(PATIENCE)?;
                work(&self.folder.path().join("etcd"))?;
                etcd.process = etcd.run_again(self.folder.path())?;
            }
        }
        self.restart_controller()
    }

    /// What the CLI needs to work with this installation.
    pub fn cli_environment(&self) -> Result<Vec<(&'static str, String)>> {
        let ca = self.folder().join("cli-ca.pem");
        fs::write(&ca, &self.rest.ca_pem)?;
        let text = |path: &Path| path.display().to_string();
        Ok(vec![
            ("HOME", text(self.folder())),
            ("XDG_CONFIG_HOME", text(&self.folder().join("config"))),
            ("FOGHORN_SERVER", self.rest.url.clone()),
            ("FOGHORN_CA", text(&ca)),
            ("FOGHORN_API_TOKEN", self.rest.api_token.clone()),
            ("FOGHORN_USER_TOKEN", self.rest.user_token.clone()),
        ])
    }

    /// Creates a host over REST; returns its id.
    pub fn create_host(&self, name: &str, mac: &str) -> Result<u32> {
        id(&self
            .rest
            .post("/fog/host/create", &json!({ "name": name, "macs": [mac] }))?
            .ok()?)
    }

    /// Creates an enabled image over REST; returns its id.
    pub fn create_image(&self, name: &str) -> Result<u32> {
        let body = json!({ "name": name, "path": name, "imageTypeID": 1, "imagePartitionTypeID": 1,
            "osID": 50, "isEnabled": "1" });
        id(&self.rest.post("/fog/image/create", &body)?.ok()?)
    }

    pub fn assign(&self, host: u32, image: u32) -> Result<()> {
        self.rest
            .put(
                &format!("/fog/host/{host}/edit"),
                &json!({ "imageID": image }),
            )?
            .ok()?;
        Ok(())
    }

    /// Creates a task of FOG's type for the host and returns its id.
    pub fn order(&self, host: u32, task_type: u32) -> Result<u32> {
        self.rest
            .post(
                &format!("/fog/host/{host}/task"),
                &json!({ "taskTypeID": task_type }),
            )?
            .ok()?;
        let active = self.rest.get("/fog/task/active")?.ok()?;
        let rows = active["tasks"].as_array().context("a task list")?;
        let row = rows
            .iter()
            .find(|row| row["hostID"] == json!(host.to_string()))
            .context("the task is not listed as active")?;
        id(row)
    }

    pub fn boot_token(&self, host: u32) -> Result<String> {
        let answer = self
            .rest
            .post(&format!("/foghorn/v1/hosts/{host}/boot-token"), &json!({}))?
            .ok()?;
        Ok(text(&answer, "token")?.to_owned())
    }

    /// The client command for a host's active task, with a fresh boot token.
    pub fn client_command(&self, host: u32, mac: &str, disk: &Path) -> Result<Command> {
        let token = self.boot_token(host)?;
        self.client_command_with(&token, mac, disk)
    }

    pub fn client_command_with(&self, token: &str, mac: &str, disk: &Path) -> Result<Command> {
        let mut command = Command::new(foghorn("foghorn-client")?);
        command
            .envs(self.environment.iter().cloned())
            .args([
                "run",
                "--controller",
                &self.rest.url,
                "--mac",
                mac,
                "--token",
                token,
            ])
            .arg("--disk")
            .arg(disk);
        Ok(command)
    }

    /// Starts the client of a host's active task.
    pub fn start_client(&self, name: &str, host: u32, mac: &str, disk: &Path) -> Result<Process> {
        Process::start(
            self.folder(),
            name,
            &mut self.client_command(host, mac, disk)?,
        )
    }

    /// State, reason and progress of a task.
    pub fn task(&self, task: u32) -> Result<Value> {
        self.rest.get(&format!("/foghorn/v1/tasks/{task}"))?.ok()
    }

    /// Waits until the task has ended and returns its status.
    pub fn wait_task(&self, task: u32) -> Result<Value> {
        until(&format!("the end of task {task}"), PATIENCE, || {
            let status = self.task(task)?;
            let ended = ["complete", "failed", "cancelled"]
                .contains(&status["state"].as_str().unwrap_or_default());
            Ok(ended.then_some(status))
        })
    }

    /// The task has not been begun by the client that was refused; cancels it, to make room for the
    /// next.
    pub fn cancel_waiting(&self, task: u32) -> Result<()> {
        let status = self.task(task)?;
        let state = status["state"].as_str().unwrap_or_default();
        ensure!(["queued", "assigned"].contains(&state), "{status}");
        self.rest
            .delete(&format!("/fog/task/{task}/cancel"))?
            .ok()?;
        self.wait_task(task).map(drop)
    }

    /// Ends a task whose client has ended: one that the client refused before it began still waits,
    /// and is cancelled. Returns its status then.
    pub fn settled(&self, task: u32) -> Result<Value> {
        let status = self.task(task)?;
        let state = status["state"].as_str().unwrap_or_default();
        if ["queued", "assigned"].contains(&state) {
            self.cancel_waiting(task)?;
        }
        self.wait_task(task)
    }

    /// Waits until at least `bytes` of the task's data are done.
    pub fn wait_progress(&self, task: u32, bytes: u64) -> Result<()> {
        until(&format!("{bytes} bytes of task {task}"), PATIENCE, || {
            let status = self.task(task)?;
            let state = status["state"].as_str().unwrap_or_default().to_owned();
            ensure!(
                !["complete", "failed", "cancelled"].contains(&state.as_str()),
                "task {task} ended early: {status}"
            );
            Ok((status["progress"]["bytes_done"].as_u64().unwrap_or(0) >= bytes).then_some(()))
        })
    }

    /// Flips one bit in the middle of the largest pack, which is inside the data of a chunk.
    pub fn damage_a_pack(&self) -> Result<()> {
        disks::damage_a_pack(&self.agents[0].state)
    }

    /// Captures `disk` of a new host into a new image and waits for the end; returns (host, image).
    pub fn capture(&self, name: &str, mac: &str, disk: &Path) -> Result<(u32, u32)> {
        let (host, image) = (
            self.create_host(name, mac)?,
            self.create_image(&format!("{name}-image"))?,
        );
        self.assign(host, image)?;
        let task = self.order(host, 2)?;
        let mut client = self.start_client(&format!("client-{name}"), host, mac, disk)?;
        let status = client.wait(PATIENCE)?;
        ensure!(
            status.success(),
            "the capture client ended with {status}:\n{}",
            client.log()
        );
        let ended = self.wait_task(task)?;
        ensure!(ended["state"] == "complete", "the capture ended as {ended}");
        Ok((host, image))
    }

    /// Deploys `image` to the blank `disk` of a new host and waits for the end.
    pub fn deploy(&self, name: &str, mac: &str, image: u32, disk: &Path) -> Result<u32> {
        let host = self.create_host(name, mac)?;
        self.assign(host, image)?;
        let task = self.order(host, 1)?;
        let mut client = self.start_client(&format!("client-{name}"), host, mac, disk)?;
        let status = client.wait(PATIENCE)?;
        ensure!(
            status.success(),
            "the deploy client ended with {status}:\n{}",
            client.log()
        );
        let ended = self.wait_task(task)?;
        ensure!(ended["state"] == "complete", "the deploy ended as {ended}");
        Ok(host)
    }
}

fn is_ready(rest: &Rest) -> bool {
    rest.get("/readyz").is_ok_and(|answer| answer.status == 200)
}

fn start_controller(folder: &Path, environment: &Environment) -> Result<Process> {
    start_controller_with(foghorn("foghorn-controller")?, folder, environment)
}

fn start_controller_with<N: AsRef<OsStr>>(
    program: PathBuf,
    folder: &Path,
    environment: &[(N, String)],
) -> Result<Process> {
    let mut command = Command::new(program);
    let environment = environment.iter();
    let environment = environment.map(|(name, value)| (name.as_ref(), value));
    command
        .envs(environment)
        .arg("run")
        .arg("--config")
        .arg(folder.join("controller.toml"));
    Process::start(folder, "controller", &mut command)
}

/// Starts an agent with this configuration, and does not wait for it.
pub fn start_agent(
    folder: &Path,
    name: &str,
    config: &Path,
    wrap: &[String],
    environment: &Environment,
) -> Result<Process> {
    let program = foghorn("foghorn-agent")?;
    let mut command = match wrap.split_first() {
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
        None => Command::new(program),
    };
    command.envs(environment.iter().cloned());
    command.arg("run").arg("--config").arg(config);
    Process::start(folder, &format!("agent-{name}"), &mut command)
}

/// Starts an etcd with one member and its data in `folder`; returns the client port.
pub fn start_etcd(folder: &Path) -> Result<(Process, u16)> {
    let (client, peer) = (free_port()?, free_port()?);
    Ok((run_etcd(folder, client, peer, &[])?, client))
}

impl Etcd {
    /// A new process with the same ports and data.
    fn run_again(&self, folder: &Path) -> Result<Process> {
        run_etcd(folder, self.client, self.peer, &self.arguments)
    }
}

fn run_etcd(folder: &Path, client: u16, peer: u16, arguments: &[String]) -> Result<Process> {
    let url = format!("http://127.0.0.1:{client}");
    let peer_url = format!("http://127.0.0.1:{peer}");
    let mut command = Command::new(find("etcd")?);
    command
        .args(["--name", "foghorn", "--log-level", "warn", "--data-dir"])
        .arg(folder.join("etcd"))
        .args([
            "--listen-client-urls",
            &url,
            "--advertise-client-urls",
            &url,
        ])
        .args([
            "--listen-peer-urls",
            &peer_url,
            "--initial-advertise-peer-urls",
            &peer_url,
        ])
        .args(["--initial-cluster", &format!("foghorn={peer_url}")])
        .args(arguments);
    let mut process = Process::start(folder, "etcd", &mut command)?;
    until_answer(&mut process, "etcd's port", PATIENCE, || {
        Ok(std::net::TcpStream::connect(("127.0.0.1", client)).ok())
    })?;
    Ok(process)
}

fn text<'a>(value: &'a Value, field: &str) -> Result<&'a str> {
    value[field]
        .as_str()
        .with_context(|| format!("{value} has no string {field:?}"))
}

/// The id of an object; FOG returns ids as strings.
pub fn id(value: &Value) -> Result<u32> {
    Ok(text(value, "id")?.parse()?)
}
