namespace Millrace;

/// <summary>A command whose handler answers with a <typeparamref name="TReply"/>, or refuses.</summary>
/// <typeparam name="TReply">What the handler answers with: a record that System.Text.Json can write and read.</typeparam>
/// <remarks>
/// The handler returns <c>Task&lt;Reply&lt;TReply&gt;&gt;</c>, or <c>Task&lt;TReply&gt;</c> where it never refuses. A
/// command without an answer of its own needs no interface.
/// </remarks>
public interface ICommand<TReply>;
