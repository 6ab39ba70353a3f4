"""Names of span attributes, in every dialect that is read: the only place where they stand.

OpenTelemetry's own constants for GenAI are deprecated and frozen at the names of v1.41, so these are ours: the newest
names of the GenAI conventions, those of v1.41 and of before, OpenInference's, OpenLLMetry's, and what single SDKs
added. What they mean for us is in :mod:`.otel`. A name that a later release adds is added here and there.
"""

from __future__ import annotations

from typing import Final


class GenAi:
    """The GenAI conventions of OpenTelemetry; a comment where a name is an older one."""

    PREFIX: Final = "gen_ai."
    OPERATION: Final = "gen_ai.operation.name"
    PROVIDER: Final = "gen_ai.provider.name"
    SYSTEM: Final = "gen_ai.system"  # v1.36 and before
    CONVERSATION_ID: Final = "gen_ai.conversation.id"
    REQUEST_MODEL: Final = "gen_ai.request.model"
    REQUEST_STREAM: Final = "gen_ai.request.stream"
    IS_STREAMING: Final = "gen_ai.is_streaming"  # OpenLLMetry
    RESPONSE_MODEL: Final = "gen_ai.response.model"
    RESPONSE_ID: Final = "gen_ai.response.id"
    FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
    FINISH_REASON: Final = "gen_ai.response.finish_reason"  # OpenLLMetry, before
    TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
    CLIENT_TIME_TO_FIRST_CHUNK: Final = "gen_ai.client.operation.time_to_first_chunk"  # pydantic-ai
    INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
    PROMPT_TOKENS: Final = "gen_ai.usage.prompt_tokens"  # v1.26 and before
    OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
    COMPLETION_TOKENS: Final = "gen_ai.usage.completion_tokens"  # v1.26 and before
    CACHE_READ: Final = "gen_ai.usage.cache_read.input_tokens"
    CACHE_READ_FLAT: Final = "gen_ai.usage.cache_read_input_tokens"  # ag2, OpenLLMetry before
    CACHE_WRITE: Final = "gen_ai.usage.cache_write.input_tokens"
    CACHE_CREATION: Final = "gen_ai.usage.cache_creation.input_tokens"  # v1.41
    CACHE_CREATION_FLAT: Final = "gen_ai.usage.cache_creation_input_tokens"  # ag2, OpenLLMetry before
    REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
    REASONING_TOKENS_FLAT: Final = "gen_ai.usage.reasoning_tokens"  # OpenLLMetry
    THINKING_TOKENS: Final = "gen_ai.usage.thinking_tokens"  # ag2
    TOOL_NAME: Final = "gen_ai.tool.name"
    TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
    TOOL_CALL_ID_FLAT: Final = "gen_ai.tool.call_id"  # Gemini CLI
    TOOL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
    TOOL_RESULT: Final = "gen_ai.tool.call.result"
    AGENT_NAME: Final = "gen_ai.agent.name"
    WORKFLOW_NAME: Final = "gen_ai.workflow.name"


class OpenInference:
    """Arize's conventions."""

    KIND: Final = "openinference.span.kind"
    SYSTEM: Final = "llm.system"
    PROVIDER: Final = "llm.provider"
    MODEL: Final = "llm.model_name"
    REQUEST_MODEL: Final = "llm.request.model_name"
    RESPONSE_MODEL: Final = "llm.response.model_name"
    EMBEDDING_MODEL: Final = "embedding.model_name"
    PROMPT_TOKENS: Final = "llm.token_count.prompt"
    COMPLETION_TOKENS: Final = "llm.token_count.completion"
    CACHE_READ: Final = "llm.token_count.prompt_details.cache_read"
    CACHE_WRITE: Final = "llm.token_count.prompt_details.cache_write"
    REASONING: Final = "llm.token_count.completion_details.reasoning"
    FINISH_REASON: Final = "llm.finish_reason"
    INPUT_VALUE: Final = "input.value"
    OUTPUT_VALUE: Final = "output.value"
    TOOL_NAME: Final = "tool.name"
    TOOL_ID: Final = "tool.id"
    TOOL_CALL_ID: Final = "tool_call.id"
    TOOL_PARAMETERS: Final = "tool.parameters"
    AGENT_NAME: Final = "agent.name"
    SESSION_ID: Final = "session.id"


class Traceloop:
    """OpenLLMetry's own, beside the GenAI names it uses."""

    KIND: Final = "traceloop.span.kind"
    ENTITY_NAME: Final = "traceloop.entity.name"
    ENTITY_INPUT: Final = "traceloop.entity.input"
    ENTITY_OUTPUT: Final = "traceloop.entity.output"
    REQUEST_TYPE: Final = "llm.request.type"  # before it took the GenAI operation


class VercelAi:
    """The AI SDK's (TypeScript) own, beside the GenAI names it uses; met in exported files only."""

    OPERATION: Final = "ai.operationId"
    PROVIDER: Final = "ai.model.provider"
    MODEL: Final = "ai.model.id"
    RESPONSE_MODEL: Final = "ai.response.model"
    RESPONSE_ID: Final = "ai.response.id"
    FINISH_REASON: Final = "ai.response.finishReason"
    INPUT_TOKENS: Final = "ai.usage.inputTokens"
    PROMPT_TOKENS: Final = "ai.usage.promptTokens"  # version 4 and before
    EMBEDDED_TOKENS: Final = "ai.usage.tokens"
    CACHED_TOKENS: Final = "ai.usage.cachedInputTokens"
    OUTPUT_TOKENS: Final = "ai.usage.outputTokens"
    COMPLETION_TOKENS: Final = "ai.usage.completionTokens"  # version 4 and before
    REASONING_TOKENS: Final = "ai.usage.reasoningTokens"
    TOOL_NAME: Final = "ai.toolCall.name"
    TOOL_CALL_ID: Final = "ai.toolCall.id"
    TOOL_ARGUMENTS: Final = "ai.toolCall.args"
    TOOL_RESULT: Final = "ai.toolCall.result"


class Mcp:
    """The Model Context Protocol's conventions."""

    METHOD: Final = "mcp.method.name"
    CALL_TOOL: Final = "tools/call"
    SESSION_ID: Final = "mcp.session.id"
    SPAN_PREFIX: Final = "MCP send tools/call "  # the mcp SDK names the tool in the span's name only


class General:
    """Conventions that are not about LLMs."""

    ERROR_TYPE: Final = "error.type"
    SERVER_ADDRESS: Final = "server.address"
    SERVER_PORT: Final = "server.port"
    HTTP_STATUS: Final = "http.response.status_code"
    EXCEPTION_EVENT: Final = "exception"
    EXCEPTION_TYPE: Final = "exception.type"
    EXCEPTION_MESSAGE: Final = "exception.message"


ANTHROPIC_REQUEST_ID: Final = "anthropic.request.id"
ANTHROPIC_STOP_REASON: Final = "anthropic.message.stop_reason"
OPENAI_REQUEST_ID: Final = "openai.request.id"
AWS_REQUEST_ID: Final = "aws.request_id"
