"""The protocol between the inspection process, the agent and the commands: schema and client."""
