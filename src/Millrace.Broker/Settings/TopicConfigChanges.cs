using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>What AlterConfigs and IncrementalAlterConfigs have in common: one resource, the settings that it is to have, and what comes of it.</summary>
internal sealed class TopicConfigChanges(BrokerServices services)
{
    private readonly ILogger _logger = services.Loggers.CreateLogger<TopicConfigChanges>();

    /// <summary>Why the settings of a resource cannot be changed at all, or null.</summary>
    public AlterConfigsResourceResponse? Refusal(sbyte resourceType, string resourceName)
    {
        switch ((ConfigResourceType)resourceType)
        {
            case ConfigResourceType.Topic when TopicName.Fault(resourceName) is { } fault:
                return Answer(resourceType, resourceName, ErrorCode.InvalidTopic, fault);
            case ConfigResourceType.Topic when services.Topics.Find(resourceName) is null:
                return Answer(resourceType, resourceName, ErrorCode.UnknownTopicOrPartition, $"There is no topic {resourceName}.");
            case ConfigResourceType.Topic:
                return null;
            case ConfigResourceType.Broker:
                return Answer(resourceType, resourceName, ErrorCode.InvalidRequest, "The settings of this broker are read when it starts, and cannot be changed while it runs.");
            default:
                return Answer(
                    resourceType, resourceName, ErrorCode.InvalidRequest, $"There are settings of topics (2) and of the broker (4), and none of type {resourceType}.");
        }
    }

    /// <summary>Gives a topic these settings in place of those it has, or only says whether it could.</summary>
    public AlterConfigsResourceResponse Replace(string topic, Dictionary<string, string> settings, bool validateOnly)
    {
        const sbyte type = (sbyte)ConfigResourceType.Topic;
        if (!TopicSettingTable.TryApply(services.Log.TopicDefaults, settings, out _, out string? error))
        {
            return Answer(type, topic, ErrorCode.InvalidConfig, error);
        }

        try
        {
            return validateOnly || services.Topics.SetSettings(topic, settings)
                ? Answer(type, topic, ErrorCode.None, message: null)
                : Answer(type, topic, ErrorCode.UnknownTopicOrPartition, $"There is no topic {topic}.");
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            LogMessages.TopicSettingsNotChanged(_logger, failure, topic);
            return Answer(type, topic, ErrorCode.KafkaStorageError, $"The settings of {topic} cannot be written: {failure.Message}");
        }
    }

    public static AlterConfigsResourceResponse Answer(sbyte type, string name, ErrorCode error, string? message) =>
        new() { ErrorCode = error, ErrorMessage = message, ResourceType = type, ResourceName = name };
}
