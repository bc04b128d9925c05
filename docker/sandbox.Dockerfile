# The image of sandboxes in containers, which `valetkey images build` makes on any base with glibc: the base brings the toolchains, and what is
# added is what every sandbox needs. The build needs no network, and no job adds anything.
ARG BASE=buildpack-deps:bookworm
FROM ${BASE}
# A number, since a base may have no list of users.
USER 0
COPY opt /opt
# A base that lacks one of these is found now, not by the first job. Each place is where something is mounted over the read-only root.
RUN for tool in sh bash cat timeout git curl; do command -v $tool > /dev/null || { echo "The base image has no $tool."; exit 1; }; done \
    && /opt/node/bin/node --version \
    && mkdir -p /home/agent /workspace /run/valetkey /run/gateway /run/egress /opt/valetkey \
    && touch /etc/passwd /etc/group /etc/machine-id
