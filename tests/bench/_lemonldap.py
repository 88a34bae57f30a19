"""LemonLDAP::NG's handler for nginx, as its own documentation sets it up, with sessions in files: the peer that auth_request is
mostly used with. What runs it is in tests/integration/lemonldap.py."""

import hashlib
import json
import time

from lemonldap import Server


class Handler(Server):
    """With so many sessions, on one core."""

    def __init__(self, directory, core, sessions=100, processes=4):
        super().__init__(directory / "lemonldap", "[handler]\nstatus = 0\nuseRedirectOnError = 1\n", processes,
                         before=["taskset", "-c", str(core)])
        self.ids = [hashlib.sha256(b"%d" % n).hexdigest() for n in range(sessions)]
        for number, session in enumerate(self.ids):
            now = int(time.time())
            (self.directory / "sessions" / session).write_text(json.dumps({
                "_session_id": session, "_session_kind": "SSO", "_utime": now, "_lastSeen": now, "uid": f"user{number}",
                "mail": f"user{number}@example.jp", "cn": f"User {number}", "groups": "staff; admin", "_whatToTrace": f"user{number}",
                "ipAddr": "127.0.0.1", "authenticationLevel": 2}))
        self.configure(
            domain="localhost", portal="http://auth.localhost/", securedCookie=0, timeoutActivity=0,
            locationRules={"localhost": {"(?#admin)^/area-\\d+/admin": "$groups =~ /\\badmin\\b/", "default": "accept"}},
            exportedHeaders={"localhost": {"Auth-User": "$uid", "Auth-Mail": "$mail", "Auth-Name": "$cn", "Auth-Groups": "$groups"}},
            vhostOptions={"localhost": {"vhostHttps": -1, "vhostPort": -1}})
        self.start()

    def locations(self):
        """For a server block: their documentation's, with the upstream given by the caller's location."""
        return f"""
            location = /lmauth {{
                internal;
                include /etc/nginx/fastcgi_params;
                fastcgi_pass unix:{self.socket};
                fastcgi_pass_request_body off;
                fastcgi_param CONTENT_LENGTH "";
                fastcgi_param HOST $http_host;
                fastcgi_param X_ORIGINAL_URI $original_uri;
            }}"""

    IN_LOCATION = """
                auth_request /lmauth;
                set $original_uri $uri$is_args$args;
                auth_request_set $lmlocation $upstream_http_location;
                error_page 401 $lmlocation;
                auth_request_set $authuser $upstream_http_auth_user;
                auth_request_set $authmail $upstream_http_auth_mail;
                auth_request_set $authname $upstream_http_auth_name;
                auth_request_set $authgroups $upstream_http_auth_groups;"""
    FORWARD = """
                proxy_set_header Auth-User $authuser; proxy_set_header Auth-Mail $authmail;
                proxy_set_header Auth-Name $authname; proxy_set_header Auth-Groups $authgroups;"""
