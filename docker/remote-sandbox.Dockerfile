# The image of sandboxes at E2B and Daytona. A template or a snapshot is made of it: docs/sandboxes.md.
FROM node:24-bookworm
USER 0
# What the worker uses inside: a base that lacks one of these is found now, not by the first job.
RUN for tool in sh bash git curl tar gzip split od flock setsid timeout find; do \
      command -v $tool > /dev/null || { echo "The base image has no $tool."; exit 1; }; done \
    && mkdir -p /opt/node/bin /opt/sandbox-agent /workspace \
    && ln -s "$(command -v node)" /opt/node/bin/node
RUN npm install --prefix /opt/agent --no-audit --no-fund \
      @sandbox-agent/cli@0.4.2 \
      @agentclientprotocol/codex-acp@2.6.0 \
      @agentclientprotocol/claude-agent-acp@0.101.0 \
      @qwen-code/qwen-code@0.24.4 \
      opencode-ai@1.18.33 \
    && case "$(uname -m)" in x86_64) arch=x64 ;; aarch64) arch=arm64 ;; esac \
    && ln -s "/opt/agent/node_modules/@sandbox-agent/cli-linux-$arch/bin/sandbox-agent" /opt/sandbox-agent/sandbox-agent \
    && chmod +x /opt/agent/node_modules/@sandbox-agent/cli-linux-*/bin/sandbox-agent \
    && /opt/sandbox-agent/sandbox-agent --version
# Neither root nor a user with sudo: what the agent may change ends with the sandbox.
RUN groupadd --gid 10001 agent \
    && useradd --uid 10001 --gid 10001 --create-home --home-dir /home/agent --shell /bin/bash agent \
    && chown agent:agent /workspace
USER agent
WORKDIR /workspace
