//! A schedule, told line by line: time in milliseconds, who, what.

use super::{Happening, World};
use trill::base::SessionId;
use trill::ringing::Call;
use trill::ringing::client::ClientOutput;
use trill::ringing::service::ConnectionId;
use trill::ringing::wire::{Answer, ClientMessage, MAX_MESSAGE, Response, ServerMessage};

impl World {
    pub(super) fn trace_happening(&self, happening: &Happening) {
        let text = match happening {
            Happening::Ping | Happening::DeviceTimer { .. } | Happening::Flush => return,
            Happening::ToDevice { text: None, .. } => return,
            Happening::ToServer { connection, text } => {
                let lost = if self.open(*connection).is_none() { "LOST " } else { "" };
                let message = ClientMessage::parse(text, MAX_MESSAGE).map_or_else(|e| e.to_string(), |m| asked(&m));
                format!("{lost}{} -> server: {message}", self.name(*connection))
            }
            Happening::ToDevice { connection, text: Some(text) } => {
                let lost = if self.open(*connection).is_none() { "LOST " } else { "" };
                let message = ServerMessage::parse(text).map_or_else(|e| e.to_string(), |m| told(&m));
                format!("{lost}server -> {}: {message}", self.name(*connection))
            }
            Happening::Read { .. } => return,
            Happening::ServerSeesEnd(connection) => format!("server: {} is gone", self.name(*connection)),
            Happening::DeviceSeesEnd(connection) => format!("{}: the connection is gone", self.name(*connection)),
            Happening::Attempted { device } => format!("{}: tries to connect", self.apps[*device].device),
            Happening::PersonActs { .. } | Happening::RoomActs | Happening::NetworkActs | Happening::OwnerActs => {
                return;
            }
            other => format!("{other:?}"),
        };
        eprintln!("{:>7} {text}", self.now);
    }

    pub(super) fn trace_output(&self, device: usize, output: &ClientOutput) {
        let text = match output {
            ClientOutput::Send(message) => format!("asks {}", asked(message)),
            ClientOutput::Event(event) => format!("is told {}: {}", event.kind, call(&event.call)),
            ClientOutput::Answer { id, result: Ok(Answer::Call(answer)) } => {
                format!("has the answer {id}: {}", call(answer))
            }
            ClientOutput::Answer { id, result } => format!("has the answer {id}: {result:?}"),
            other => format!("{other:?}"),
        };
        eprintln!("{:>7}   {} {text}", self.now, self.apps[device].device);
    }

    pub(super) fn trace_fact(&self, what: &dyn std::fmt::Debug) {
        if self.trace {
            eprintln!("{:>7} server: {what:?}", self.now);
        }
    }

    fn name(&self, connection: ConnectionId) -> String {
        let device = self.connections.get(&connection).map(|open| self.apps[open.device].device.to_string());
        format!("{}#{}", device.unwrap_or_default(), connection.0)
    }
}

fn asked(message: &ClientMessage) -> String {
    match message {
        ClientMessage::Hello(hello) => format!("hello from {}", hello.device_id),
        ClientMessage::Request(request) => {
            let session = request.params.get("sessionId").and_then(|id| id.as_str()).map(|id| &id[..6]);
            let about = session.or_else(|| request.params.get("receiver").and_then(|receiver| receiver.as_str()));
            format!("{} {} ({})", request.method, about.unwrap_or_default(), request.id)
        }
    }
}

fn told(message: &ServerMessage) -> String {
    match message {
        ServerMessage::Welcome(welcome) => {
            format!("welcome, calls: [{}]", welcome.calls.iter().map(call).collect::<Vec<_>>().join("; "))
        }
        ServerMessage::Response(response) => answered(response),
        ServerMessage::Event(event) => format!("{}: {}", event.kind, call(&event.call)),
        other => format!("{other:?}"),
    }
}

fn answered(response: &Response) -> String {
    match response.clone().into_result() {
        Ok(Answer::Call(answer)) => format!("answer {}: {}", response.id, call(&answer)),
        other => format!("answer {}: {other:?}", response.id),
    }
}

/// `4f09ab r3 ongoing, alice accepted (alice-0), bob joined (bob-1)`
fn call(call: &Call) -> String {
    let mut text = format!("{} r{} {}", short(&call.session_id), call.revision, call.status);
    if let Some(reason) = call.end_reason {
        text += &format!(" ({reason})");
    }
    for party in &call.participants {
        text += &format!(", {} {}", party.uid, party.state);
        if let Some(device) = &party.device_id {
            text += &format!(" ({device})");
        }
    }
    text
}

fn short(session: &SessionId) -> &str {
    &session.as_str()[..6]
}
