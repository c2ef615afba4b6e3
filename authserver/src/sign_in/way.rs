//! Where a sign-in leads to: back to an application's request, or to a page of ours. Carried in the query
//! of every page on the way.

use url::form_urlencoded::Serializer;

use crate::{
    interaction::{Pending, pending},
    pages::{FormAction, Instead, Visit, local_path},
    state::AppState,
};

/// Where a sign-in leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Way {
    /// The id of an application's pending request.
    pub(crate) request: Option<String>,
    /// A local path; only without a request.
    pub(crate) return_to: Option<String>,
    /// Somebody who is signed in already proves it once more (a recent sign-in is asked for).
    pub(crate) again: bool,
    /// The language that was chosen on the way.
    lang: Option<String>,
}

impl Way {
    /// The way that the query of this page names. A path that is not local is ignored.
    pub(crate) fn of(visit: &Visit) -> Self {
        let request = visit.parameter("request");
        let return_to = visit.parameter("return_to").and_then(|path| local_path(&path));
        Self {
            return_to: if request.is_some() { None } else { return_to },
            request,
            again: visit.parameter("again").is_some(),
            lang: visit.parameter("lang"),
        }
    }

    /// To sign in and then go on to `path`.
    pub(crate) fn leading_to(path: String) -> Self {
        Self { return_to: Some(path), ..Self::default() }
    }

    /// To sign in once more and then go on to `path`.
    pub(crate) fn once_more(path: &str) -> Self {
        Self { return_to: Some(path.to_owned()), again: true, ..Self::default() }
    }

    /// The application's pending request, if the way leads to one.
    ///
    /// # Errors
    /// [`Instead`] an error page when the request is unknown, too old or another browser's.
    pub(crate) async fn pending(
        &self,
        state: &AppState,
        visit: &Visit,
    ) -> Result<Option<Pending>, Instead> {
        match &self.request {
            Some(id) => Ok(Some(pending(state, &visit.jar, id).await?)),
            None => Ok(None),
        }
    }

    /// The address of `path` on this way.
    pub(crate) fn to(&self, path: &str) -> String {
        let mut query = Serializer::new(String::new());
        for (name, value) in
            [("request", &self.request), ("return_to", &self.return_to), ("lang", &self.lang)]
        {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        if self.again {
            query.append_pair("again", "1");
        }
        let query = query.finish();
        if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
    }
}

/// What the application asked the pages to be written in.
pub(crate) fn ui_locales(pending: Option<&Pending>) -> &[String] {
    pending.map_or(&[], |pending| &pending.ui_locales)
}

/// Where the forms of a page may lead that stands in the application's request.
pub(crate) fn forms(pending: Option<&Pending>) -> FormAction {
    pending.map_or_else(FormAction::own, |pending| FormAction::answering(&pending.client))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_goes_along_from_page_to_page() {
        let way = Way { request: Some("a b".to_owned()), ..Way::default() };
        assert_eq!(way.to("/mfa"), "/mfa?request=a+b");
        assert_eq!(
            Way::once_more("/account/password").to("/login"),
            "/login?return_to=%2Faccount%2Fpassword&again=1"
        );
        assert_eq!(Way::default().to("/login"), "/login");
    }
}
