//! A small mail server: plain, STARTTLS or TLS from the beginning, with log-in.

use data_encoding::BASE64;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufStream};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::receiver::acceptor;
use crate::native::fleet::PATIENCE;

/// One mail.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Letter {
    pub(super) from: String,
    pub(super) to: Vec<String>,
    pub(super) text: String,
    /// User and password with which the sender has logged in, and whether that was by TLS.
    pub(super) login: Option<(String, String)>,
    pub(super) by_tls: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    Plain,
    Starttls,
    Tls,
}

pub(super) struct MailServer {
    pub(super) port: u16,
    pub(super) ca_pem: String,
    letters: watch::Receiver<Vec<Letter>>,
}

impl MailServer {
    pub(super) async fn start(way: Way) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, letters) = watch::channel(Vec::new());
        let (acceptor, ca_pem) = acceptor();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let letter = match way {
                    Way::Plain => talk(stream, Greeting::WithBanner, false).await.letter(),
                    Way::Tls => match acceptor.accept(stream).await {
                        Ok(stream) => talk(stream, Greeting::WithBanner, true).await.letter(),
                        Err(_) => None,
                    },
                    Way::Starttls => by_starttls(stream, &acceptor).await,
                };
                if let Some(letter) = letter {
                    sender.send_modify(|all| all.push(letter));
                }
            }
        });
        Self {
            port,
            ca_pem,
            letters,
        }
    }

    pub(super) async fn letters(&self, count: usize) -> Vec<Letter> {
        let mut letters = self.letters.clone();
        let enough = letters.wait_for(|all| all.len() >= count);
        let all = tokio::time::timeout(PATIENCE, enough).await;
        all.expect("the mails come in time").unwrap().clone()
    }
}

async fn by_starttls(stream: tokio::net::TcpStream, acceptor: &TlsAcceptor) -> Option<Letter> {
    match talk(stream, Greeting::WithStarttls, false).await {
        End::Starttls(stream) => {
            let stream = acceptor.accept(stream).await.ok()?;
            talk(stream, Greeting::Silent, true).await.letter()
        }
        other => other.letter(),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Greeting {
    WithBanner,
    WithStarttls,
    /// After STARTTLS there is no second one.
    Silent,
}

enum End<S> {
    Quit(Option<Letter>),
    Starttls(S),
}

impl<S> End<S> {
    fn letter(self) -> Option<Letter> {
        match self {
            Self::Quit(letter) => letter,
            Self::Starttls(_) => None,
        }
    }
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    greeting: Greeting,
    by_tls: bool,
) -> End<S> {
    let mut stream = BufStream::new(stream);
    let (mut letter, mut taken) = (
        Letter {
            by_tls,
            ..Letter::default()
        },
        None,
    );
    if greeting != Greeting::Silent {
        say(&mut stream, "220 test").await;
    }
    loop {
        let Some(line) = hear(&mut stream).await else {
            return End::Quit(taken);
        };
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match word.to_ascii_uppercase().as_str() {
            "EHLO" if greeting == Greeting::WithStarttls => {
                say(&mut stream, "250-test\r\n250 STARTTLS").await;
            }
            "EHLO" => say(&mut stream, "250-test\r\n250 AUTH PLAIN").await,
            "STARTTLS" => {
                say(&mut stream, "220 go ahead").await;
                return End::Starttls(stream.into_inner());
            }
            "AUTH" => {
                letter.login = login(rest);
                say(&mut stream, "235 ok").await;
            }
            "MAIL" => {
                letter.from = rest.to_owned();
                say(&mut stream, "250 ok").await;
            }
            "RCPT" => {
                letter.to.push(rest.to_owned());
                say(&mut stream, "250 ok").await;
            }
            "DATA" => {
                say(&mut stream, "354 go ahead").await;
                while let Some(line) = hear(&mut stream).await.filter(|line| line != ".") {
                    letter.text += &line;
                    letter.text.push('\n');
                }
                say(&mut stream, "250 ok").await;
                taken = Some(letter.clone());
            }
            "QUIT" => {
                say(&mut stream, "221 bye").await;
                return End::Quit(taken);
            }
            _ => say(&mut stream, "250 ok").await,
        }
    }
}

fn login(rest: &str) -> Option<(String, String)> {
    let bytes = BASE64
        .decode(rest.strip_prefix("PLAIN ")?.as_bytes())
        .ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let mut parts = text.split('\0').skip(1).map(str::to_owned);
    Some((parts.next()?, parts.next()?))
}

async fn say<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut BufStream<S>, text: &str) {
    let line = format!("{text}\r\n");
    if stream.write_all(line.as_bytes()).await.is_ok() {
        let _gone = stream.flush().await;
    }
}

async fn hear<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut BufStream<S>) -> Option<String> {
    let mut line = String::new();
    match stream.read_line(&mut line).await {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(line.trim_end_matches(['\r', '\n']).to_owned()),
    }
}
