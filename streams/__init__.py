"""The Faust application: what fetches utterances, answers them and commits both in one transaction."""
