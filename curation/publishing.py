"""A selection pushed to the Hugging Face hub as a data set: the files of its export, in one commit.

The token is that of the hub's own login or of ``HF_TOKEN``; it is neither stored nor told.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from curation import export
from curation.errors import PublishError
from curation.report import Records
from curation.wording import counted
from curation.workspace import Workspace


def place(repo: str) -> str:
    """Return where a push goes: the hub's address and the data set's id there.

    Raises
    ------
    PublishError
        If `repo` can't be an id.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    with _hub_errors(repo):
        validate_repo_id(repo)
    return f"{constants.ENDPOINT}/datasets/{repo}"


def what_leaves(records: Records) -> str:
    """Return in a sentence what a push sends, for the one who decides on it."""
    licences = ", ".join(f"{n:,} {name}" for name, n in sorted(records.licences.items()))
    decisions = ", and who decided what by hand" if records.log else ""
    return (
        f"{counted(len(records.subset), 'example')} (licences: {licences}) with their reasons and notes, the card, and "
        f"the config, which names your files by their paths{decisions}"
    )


def push(ws: Workspace, records: Records, repo: str, *, private: bool = True) -> str:
    """Send the files of an export to a data set of the hub, made if it is not there, and return the commit's address.

    Files of the same name are replaced, others stay.

    Parameters
    ----------
    repo : str
        ``OWNER/NAME``, or ``NAME`` among one's own.
    private : bool
        Whether only those may read it whom its owner lets.

    Raises
    ------
    PublishError
        If `repo` can't be an id, nobody is logged in, the hub refuses or can't be reached, or the data set is there and
        public though it was to be private.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    files = [CommitOperationAdd(name, data) for name, data in export.contents(ws, records).items()]
    api = HfApi()
    with _hub_errors(repo):
        made = api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True).repo_id
        if private and not api.dataset_info(made).private:
            raise PublishError(
                f"the data set {made} is there already and public; make it private on its page, choose another name, "
                "or push it publicly"
            )
        said = f"{counted(len(records.subset), 'example')} selected with Winnow"
        commit = api.create_commit(made, files, commit_message=said, repo_type="dataset")
    return str(commit.commit_url)


@contextmanager
def _hub_errors(repo: str) -> Iterator[None]:
    """Turn what the hub's library raises into one sentence."""
    from huggingface_hub import errors

    try:
        yield
    except errors.HFValidationError as error:
        raise PublishError(
            f"a data set can't be called {repo!r}; expected NAME or OWNER/NAME of letters, digits, -, _ and ."
        ) from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        reason = error.server_message or f"status {status}"
        told = {
            401: "no valid token; log in with `hf auth login` or set HF_TOKEN",
            403: f"your token may not write there ({reason}); give it the right to write, or choose another owner",
        }
        raise PublishError(
            f"the hub did not take the data set {repo}: {told.get(status, f'it says: {reason}; try again')}"
        ) from error
    except (ConnectionError, errors.HTTPError) as error:  # type: ignore[attr-defined]  # of the hub's HTTP library
        raise PublishError(
            "the hub can't be reached from here; connect to the network and unset HF_HUB_OFFLINE, or download the files"
        ) from error
    except (ValueError, OSError) as error:
        raise PublishError(f"the data set {repo} can't be pushed ({str(error).partition(chr(10))[0]})") from error
