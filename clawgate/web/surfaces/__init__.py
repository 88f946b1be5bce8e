"""The product's table of contents: one module per surface, each with a `register(router)`. Ring: edge (web).

health     /health /readyz /metrics
pairing    /pair /pair/code /admin/paircode… /api/pairing/initiate /api/pair /api/devices…
welcome    /pair/page
webhook    /webhook
inbox      /api/inbox…
sessions   /api/v1/sessions… /api/v1/insights
memory     /api/v1/memory…
live_config  /config /config/channels /config/mcp-servers /config/model /config/tools /config/agent
config_api   /api/v1/config… /api/v1/secrets /api/v1/channels/telegram
channels   /whatsapp /linq
"""
