//! A conversation with a mail server, which may say and take only so much: whatever it does, it
//! costs little memory and ends.
//!
//! The mail library reads a line until it ends, and cannot be broken off. So it does not speak to
//! the server itself but to a relay on loopback, which counts what the server says, and closes both
//! connections when it is enough. TLS is between the library and the server, as without a relay.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{SmtpTransport, Transport as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{MOST_SHOWN, SendError, one_line};
use crate::state::notify::{Mail, Security};

/// For each step of the conversation.
const STEP: Duration = Duration::from_secs(10);
/// For all of it: shorter than the claim of a message.
const WHOLE: Duration = Duration::from_secs(60);
/// Bytes that a mail server may send, certificates included. It sends a line for each step.
const MOST_SAID: u64 = 128 << 10;

pub(super) async fn send(
    mail: &Mail,
    password: Option<String>,
    letter: lettre::Message,
) -> Result<(), SendError> {
    let address = (mail.server.as_str(), mail.port);
    let connecting = tokio::time::timeout(STEP, TcpStream::connect(address));
    let server = connecting.await.map_err(|_| late(STEP))?.map_err(said)?;
    let relay = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let relay = relay.map_err(said)?;
    let transport = transport(mail, password, relay.local_addr().map_err(said)?)?;
    let passing = tokio::spawn(tokio::time::timeout(WHOLE, pass(relay, server)));
    let sent = tokio::task::spawn_blocking(move || transport.send(&letter)).await;
    let error = match sent {
        // The letter is taken, whatever came after.
        Ok(Ok(_)) => return Ok(()),
        Ok(Err(error)) => error,
        Err(_) => return Err(SendError::Aborted),
    };
    // It has ended, or ends now that the library has closed its side.
    match passing.await {
        Ok(Ok(Passed::TooMuch)) => Err(SendError::Mail(
            "it sends more than a mail server has to say".to_owned(),
        )),
        Ok(Ok(Passed::All)) if !is_late(&error) => Err(said(error)),
        Ok(Ok(Passed::All)) => Err(late(STEP)),
        Ok(Err(_)) => Err(late(WHOLE)),
        Err(_) => Err(SendError::Aborted),
    }
}

/// How a relay ended.
enum Passed {
    All,
    TooMuch,
}

/// Passes on what the library and the server say, until one of them has closed its connection.
async fn pass(relay: TcpListener, mut server: TcpStream) -> Passed {
    let Ok((mut library, _)) = relay.accept().await else {
        return Passed::All;
    };
    drop(relay);
    let (mut from_server, mut to_server) = server.split();
    let (mut from_library, mut to_library) = library.split();
    let asking = async {
        let _end = tokio::io::copy(&mut from_library, &mut to_server).await;
    };
    let answering = async {
        let mut said = (&mut from_server).take(MOST_SAID);
        let passed = tokio::io::copy(&mut said, &mut to_library).await;
        let _end = to_library.shutdown().await;
        passed
    };
    tokio::select! {
        () = asking => Passed::All,
        passed = answering => match passed {
            Ok(MOST_SAID) => Passed::TooMuch,
            _ => Passed::All,
        },
    }
}

fn said(error: impl std::error::Error) -> SendError {
    let text = foghorn_types::chain(&error).to_string();
    SendError::Mail(one_line(&text, MOST_SHOWN))
}

fn late(limit: Duration) -> SendError {
    let seconds = limit.as_secs();
    SendError::Mail(format!("it did not answer within {seconds} seconds"))
}

/// A read that waited too long has an error of its own on each system.
fn is_late(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>()
            && matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
            )
        {
            return true;
        }
        next = error.source();
    }
    false
}

fn transport(
    mail: &Mail,
    password: Option<String>,
    relay: SocketAddr,
) -> Result<SmtpTransport, SendError> {
    let tls = match mail.security {
        Security::Plain => Tls::None,
        Security::Starttls => Tls::Required(parameters(mail)?),
        Security::Tls => Tls::Wrapper(parameters(mail)?),
    };
    let mut builder = SmtpTransport::builder_dangerous(relay.ip().to_string())
        .port(relay.port())
        .tls(tls)
        .timeout(Some(STEP));
    if let (Some(user), Some(password)) = (&mail.user, password) {
        builder = builder.credentials(Credentials::new(user.clone(), password));
    }
    Ok(builder.build())
}

fn parameters(mail: &Mail) -> Result<TlsParameters, SendError> {
    let mut builder = TlsParameters::builder(mail.server.clone());
    if let Some(pem) = &mail.ca_pem {
        let own = Certificate::from_pem(pem.as_bytes()).map_err(|_| SendError::Authority)?;
        builder = builder
            .certificate_store(CertificateStore::None)
            .add_root_certificate(own);
    }
    builder.build_rustls().map_err(said)
}

#[cfg(test)]
mod tests;
