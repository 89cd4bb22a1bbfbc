using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>
/// DeleteTopics (key 20, versions 0-6): deletes topics, by name or by id. Answers when their records, and what groups have committed for them, are gone for good.
/// </summary>
internal sealed class DeleteTopicsApi(BrokerServices services, GroupCoordinator groups) : Api<DeleteTopicsRequest, DeleteTopicsResponse>
{
    private const short TopicStateVersion = 6;

    // From the deletion of a topic until its name is free: a second request for it must not take a new topic of that name for the old one.
    private readonly SemaphoreSlim _deleting = new(1, 1);

    protected override async ValueTask<DeleteTopicsResponse?> HandleAsync(DeleteTopicsRequest request, RequestContext context)
    {
        List<DeleteTopicState> asked = context.Version >= TopicStateVersion
            ? request.Topics
            : [.. request.TopicNames.Select(name => new DeleteTopicState { Name = name })];
        HashSet<(string?, Guid)> twice = [.. asked.GroupBy(topic => (topic.Name, topic.TopicId)).Where(same => same.Count() > 1).Select(same => same.Key)];
        long begun = services.Time.GetTimestamp();
        var response = new DeleteTopicsResponse();
        foreach (DeleteTopicState topic in asked)
        {
            if (twice.Contains((topic.Name, topic.TopicId)))
            {
                response.Responses.Add(Refused(topic, ErrorCode.InvalidRequest, "This topic stands more than once in the request."));
            }
            else if (response.Responses.Count > 0 && services.Time.GetElapsedTime(begun).TotalMilliseconds > request.TimeoutMilliseconds)
            {
                response.Responses.Add(Refused(topic, ErrorCode.RequestTimedOut, "The topics before this one took all of the request's time. It is not deleted."));
            }
            else
            {
                response.Responses.Add(await DeleteAloneAsync(topic));
            }
        }

        return response;
    }

    private async Task<DeletableTopicResult> DeleteAloneAsync(DeleteTopicState asked)
    {
        await _deleting.WaitAsync();
        try
        {
            return await DeleteAsync(asked);
        }
        finally
        {
            _deleting.Release();
        }
    }

    private async Task<DeletableTopicResult> DeleteAsync(DeleteTopicState asked)
    {
        bool isById = asked.TopicId != Guid.Empty;
        if (isById == asked.Name is not null)
        {
            return Refused(asked, ErrorCode.InvalidRequest, "A topic to delete has either a name or an id.");
        }

        if ((isById ? services.Topics.Find(asked.TopicId) : services.Topics.Find(asked.Name!)) is not { } topic)
        {
            return await ResumeAsync(asked, isById);
        }

        DeletableTopicResult result = new() { Name = topic.Name, TopicId = topic.Id };
        if (topic.IsInternal)
        {
            return Refused(result, ErrorCode.InvalidTopic, $"Topic {topic.Name} is the broker's own.");
        }

        return await FinishAsync(result, services.Topics.Delete(topic));
    }

    /// <summary>Of a topic that nobody finds: goes on with its deletion, if the disk has stopped that.</summary>
    private async Task<DeletableTopicResult> ResumeAsync(DeleteTopicState asked, bool isById)
    {
        string? name = isById ? services.Topics.FindUnfinishedDeletion(asked.TopicId) : asked.Name;
        return name is not null && services.Topics.ResumeDeletion(name) is { } resumed
            ? await FinishAsync(new DeletableTopicResult { Name = name, TopicId = asked.TopicId }, resumed)
            : isById ? Refused(asked, ErrorCode.UnknownTopicId, "There is no topic with this id.")
            : Refused(asked, ErrorCode.UnknownTopicOrPartition, $"There is no topic {asked.Name}.");
    }

    private async Task<DeletableTopicResult> FinishAsync(DeletableTopicResult result, TopicDeletion deletion)
    {
        if (deletion is TopicDeletion.Refused refused)
        {
            return Refused(result, refused.Error, refused.Message);
        }

        // The name is free only now: a new topic of that name must not find the offsets of the old one.
        return await groups.ForgetTopicAsync(result.Name!) && services.Topics.FinishDeletion(result.Name!)
            ? result
            : Refused(
                result,
                ErrorCode.KafkaStorageError,
                $"Topic {result.Name} is deleted, and what groups committed for it is not; its name is taken until then. Delete it again; or the next start of the broker does.");
    }

    private static DeletableTopicResult Refused(DeleteTopicState asked, ErrorCode error, string message) =>
        Refused(new DeletableTopicResult { Name = asked.Name, TopicId = asked.TopicId }, error, message);

    private static DeletableTopicResult Refused(DeletableTopicResult result, ErrorCode error, string message)
    {
        result.ErrorCode = error;
        result.ErrorMessage = message;
        return result;
    }
}
