//! Tokens of factories.

use std::collections::BTreeSet;
use std::time::Duration;

use foghorn_controller::app::devices::factories;
use foghorn_controller::app::devices::tokens::{
    self, CreateError, Forbidden, Terms, TokenError, check, create, revoke,
};
use foghorn_controller::app::users::{self, NewAccount, Secret};
use foghorn_controller::state::machines::scope::Scope;
use foghorn_types::{Role, StorageGroupId, Timestamp};

use super::{Room, factory};
use crate::engine::BOTH;

#[tokio::test(flavor = "multi_thread")]
async fn a_token_does_what_its_scopes_and_the_role_of_its_user_allow_until_its_time_is_over() {
    for kind in BOTH {
        let room = Room::start(kind).await;
        let state = &room.state;
        let account = NewAccount {
            name: "anna".to_owned(),
            role: Role::Operator,
            api: true,
            secret: Secret::None,
        };
        let (user, _) = users::create(state, account).await.unwrap();
        let name = state.read(|tables| factories::name_of(tables, factory()));
        let terms = Terms {
            user,
            description: "for a test".to_owned(),
            scopes: BTreeSet::from([Scope::DevicesReadUpdate, Scope::TargetsRead]),
            factories: vec![name],
            ttl: Some(Duration::from_secs(60)),
        };
        let made = create(state, &terms).await.unwrap();
        let now = Timestamp::now();
        let caller = |now| state.read(|tables| check(tables, &made.text, now));
        let anna = caller(now).unwrap();
        assert_eq!((anna.user, anna.name.as_str()), (user, "anna"));
        assert_eq!(anna.may(Scope::DevicesRead, Some(factory())), Ok(()));
        let refused = anna.may(Scope::TargetsReadUpdate, None);
        assert_eq!(refused, Err(Forbidden::Scope(Scope::TargetsReadUpdate)));
        let other = StorageGroupId::new(9);
        assert_eq!(anna.may(Scope::DevicesRead, other), Err(Forbidden::Factory));
        let later = now + Duration::from_secs(61);
        assert_eq!(caller(later), Err(TokenError::Expired));
        let unknown = state.read(|tables| check(tables, "unknown", now));
        assert_eq!(unknown, Err(TokenError::Unknown));

        // The user may do less from now on, and so may the token.
        users::edit(state, user, Some(Role::ReadOnly), None)
            .await
            .unwrap();
        let scopes = caller(now).unwrap().scopes;
        let both = [Scope::DevicesRead, Scope::TargetsRead];
        assert_eq!(scopes, BTreeSet::from(both));
        let more = create(state, &terms).await;
        assert!(matches!(more, Err(CreateError::Scope { .. })));
        let nowhere = Terms {
            scopes: BTreeSet::from([Scope::DevicesRead]),
            factories: vec!["nowhere".to_owned()],
            ..terms
        };
        let refused = create(state, &nowhere).await;
        assert!(matches!(refused, Err(CreateError::NoFactory(_))));

        let all = state.read(tokens::list);
        assert_eq!(all.len(), 1);
        assert_ne!(all[0].hash, made.text);
        revoke(state, made.id).await.unwrap();
        assert_eq!(caller(now), Err(TokenError::Unknown));
        assert!(revoke(state, made.id).await.is_err());
    }
}
